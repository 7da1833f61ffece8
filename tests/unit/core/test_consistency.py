"""How a level of consistency is spelled."""

from __future__ import annotations

import pytest

from clusterlite.core.consistency import Bounded, Consistency, read_consistency


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("eventual", "eventual"),
        ("session", "session"),
        ("strong", "strong"),
        ("bounded:0", Bounded(0)),
        ("bounded:5", Bounded(5)),
        ("bounded:0.25", Bounded(0.25)),
        ("bounded:86400", Bounded(86_400)),
    ],
)
def test_a_level_is_read(text: str, level: Consistency) -> None:
    assert read_consistency(text) == level


@pytest.mark.parametrize("text", ["", "Strong", "strong ", "linearizable", "strong:5"])
def test_what_is_no_level_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(ValueError, match="one of eventual, session, bounded:<seconds>, strong"):
        read_consistency(text)


@pytest.mark.parametrize(
    "seconds", ["", "x", "-1", "1e3", "nan", "inf", "5s", "\u0665", "1.", "86401", "99999999"]
)
def test_seconds_that_are_none_are_refused_with_an_example(seconds: str) -> None:
    with pytest.raises(ValueError, match="from 0 to 86400, as in bounded:5"):
        read_consistency(f"bounded:{seconds}")
