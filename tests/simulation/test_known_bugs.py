from __future__ import annotations

import logging

import pytest

from clusterlite.testing.simulator import run
from tests.simulation.known_bugs import KNOWN_BUGS

SEEDS = 60
"""Within so many seeds of 200 operations each bug must be seen."""


@pytest.mark.parametrize("name", KNOWN_BUGS)
def test_a_known_bug_turns_a_run_red(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("clusterlite").setLevel(logging.CRITICAL + 1)
    KNOWN_BUGS[name](monkeypatch)
    for seed in range(SEEDS):
        violations = run(seed, 200).violations
        if violations:
            with capsys.disabled():
                print(f"\n{name}: seed {seed}: {violations[0][:110]}")
            return
    pytest.fail(f"{name} was not seen in {SEEDS} seeds")
