from __future__ import annotations

import re

import pytest

from clusterlite.node import engine
from clusterlite.testing.simulator.known_bugs import KNOWN_BUGS, Switch, hunt

DEFECTS = re.compile(r"\b(Type|Attribute|Name|Key|Index)Error\b")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "clusterlite")


@pytest.mark.parametrize("name", KNOWN_BUGS)
def test_a_known_bug_turns_a_run_red_that_is_green_without_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = hunt(KNOWN_BUGS[name])
    with capsys.disabled():
        print(f"\n{name}: seed {found.seed}, {found.operations} operations: {found.violation[:90]}")
    assert found.seed is not None, f"{name} was not seen in {KNOWN_BUGS[name].seeds} seeds"
    assert not DEFECTS.search(found.violation), f"the switch itself fails: {found.violation}"
    assert KNOWN_BUGS[name].trial(found.seed).violations == []


def test_what_a_switch_changed_is_put_back() -> None:
    before = dict(vars(engine.Engine))
    with Switch() as switch:
        KNOWN_BUGS["strong_read_without_its_barrier"].bring(switch)
        assert dict(vars(engine.Engine)) != before
    assert dict(vars(engine.Engine)) == before
