"""What a start and an end say: the node's state by its one name, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterlite.cli.banner import print_banner, print_farewell
from clusterlite.cli.voice import Voice
from clusterlite.config import Settings

READY = {"cluster": "c", "state": "ready", "position": 4, "reason": None}


def settings(**given: Any) -> Settings:
    return Settings(data=Path("/srv/x"), port=9000, **given)


def banner(capsys: pytest.CaptureFixture[str], node: dict[str, Any], **given: Any) -> str:
    print_banner(Voice("text"), settings(**given), ["users", "notes"], node)
    return capsys.readouterr().err


def test_a_ready_node_says_so_and_where_everything_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown = banner(capsys, READY)
    tables = "http://127.0.0.1:9000/users, http://127.0.0.1:9000/notes"
    assert f"  tables  {tables} (the sample; --entities names your own)\n" in shown
    assert "  log     file:/srv/x/log, applied up to position 4\n" in shown
    assert "  state   ready\n" in shown
    assert "WARNING" not in shown


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("catching_up", None, "catching_up: it reads its log up to the end before it takes writes"),
        (
            "log_unreachable",
            {"reason": "log_unreachable", "detail": "no broker", "cure": "Start one"},
            "log_unreachable: no broker. Start one",
        ),
        (
            "halted",
            {"reason": "wrong_log", "detail": "another [cluster]", "cure": "Check --log"},
            "halted, wrong_log: another [cluster]. Check --log",
        ),
    ],
)
def test_a_node_that_is_not_ready_says_what_it_waits_for(
    state: str, reason: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = banner(capsys, {"cluster": "", "state": state, "position": -1, "reason": reason})
    assert f"  state   {said}\n" in shown
    assert "nothing applied yet" in shown


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("0.0.0.0", "every address of this machine"),
        ("::", "every address of this machine"),
        ("10.1.1.1", "10.1.1.1"),
    ],
)
def test_listening_beyond_loopback_says_what_that_means_and_what_to_do(
    host: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        f"  WARNING it listens on {where}: whoever can reach port 9000 there can read and write "
        "everything, there is no authentication yet. Let only a proxy that authenticates reach "
        "it, or listen on 127.0.0.1, the default\n"
    ) in banner(capsys, READY, host=host)


@pytest.mark.parametrize(
    ("served_s", "said"),
    [
        (None, "stopped while it was starting; everything acknowledged is in"),
        (4.25, "stopped after 4.2 s at position 7; everything acknowledged is in"),
        (61, "stopped after 1 min 1 s at position 7; everything"),
        (3 * 3600 + 120, "stopped after 3 h 2 min at position 7; everything"),
        (50 * 3600, "stopped after 2 d 2 h at position 7; everything"),
    ],
)
def test_the_farewell_says_how_long_it_was_up_and_what_is_saved(
    served_s: float | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = None if served_s is None else {"position": 7, "tables": 2}
    print_farewell(Voice("text"), settings(), saved, served_s)
    shown = capsys.readouterr().err
    assert shown.startswith(f"clusterlite: {said}")
    assert "file:/srv/x/log and /srv/x" in shown
    assert shown.endswith(" (2 tables)\n") == (saved is not None)


def test_what_was_in_memory_is_not_called_saved(capsys: pytest.CaptureFixture[str]) -> None:
    print_farewell(Voice("text"), settings(log="memory:"), {"position": 7, "tables": 1}, 20.0)
    assert capsys.readouterr().err == (
        "clusterlite: stopped after 20 s at position 7; the log was in memory, so what was written "
        "is gone\n"
    )
