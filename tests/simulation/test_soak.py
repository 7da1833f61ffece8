from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from clusterlite.testing.simulator import __main__ as command
from clusterlite.testing.simulator.known_bugs import KNOWN_BUGS, Switch
from clusterlite.testing.simulator.soak import Tally, soak


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "clusterlite")
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(command.logging.getLogger("clusterlite"), "setLevel", lambda _: None)


def test_a_soak_names_a_red_seed_and_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Switch() as switch:
        KNOWN_BUGS["preconditions_not_judged"].bring(switch)
        assert command.main(["--seed", "0", "--operations", "100"]) == 1
    told = capsys.readouterr().out
    assert "\nred: 0: " in told
    assert "again: python -m clusterlite.testing.simulator --seed 0 --operations 100" in told


def test_a_soak_ends_with_its_time_and_tells_its_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--soak", "0s", "--seed", "3", "--operations", "20"]) == 0
    last = capsys.readouterr().out.splitlines()
    assert any(line.startswith("from seed 3: 1 seeds, ") for line in last)
    assert any(line.endswith(" operations/s on one core, checked; 0 red") for line in last)


def test_tallies_of_runs_side_by_side_add_up() -> None:
    apart = soak([0], 20) + soak([1], 20)
    together = soak([0, 1], 20)
    assert apart.seeds == together.seeds == 2
    assert (apart.operations, apart.sometimes) == (together.operations, together.sometimes)
    assert Tally(red={1: "a"}) + Tally(red={2: "b"}) == Tally(red={1: "a", 2: "b"})


def test_an_interrupted_soak_ends_with_its_report() -> None:
    arguments = ["--seed", "0", "--soak", "1h", "--operations", "20"]
    process = subprocess.Popen(
        [sys.executable, "-c", _TALKATIVE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    assert process.stdout is not None
    process.stdout.readline()  # it runs
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert told.splitlines()[-1].startswith("from seed 0: ")
    assert process.returncode == 0


_TALKATIVE = """
import sys
from clusterlite.testing.simulator import __main__ as command
command.TELL_EVERY_S = 0.0
sys.exit(command.main(sys.argv[1:]))
"""
"""Tells after every seed, so that somebody may know that it runs."""
