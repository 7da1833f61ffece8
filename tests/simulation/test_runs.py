from __future__ import annotations

import os
import subprocess
import sys

import pytest

from clusterlite.testing.simulator import run
from tests.simulation.runs import runs

SEEDS = 500
"""Of 200 operations each."""

SOMETIMES = (
    "append refused",
    "client asked again",
    "client went to another node",
    "compare-and-set that lost",
    "crash at after append",
    "crash at after commit",
    "crash at before append",
    "crash at before commit",
    "duplicate by producer",
    "early answer",
    "halt log_gap",
    "halt log_rewound",
    "halt replica_io",
    "halt wrong_log",
    "hole in positions",
    "joined a waiter in flight",
    "message lost",
    "node cut from the log",
    "orderly stop",
    "read cut short",
    "read refused Behind",
    "reader waited for a token",
    "recovered from log_unreachable",
    "recovered from strained",
    "replayed answer",
    "settled as judged",
    "settled as never",
    "strong read behind a tail under way",
    "unknown append that landed",
    "unknown append that landed late",
    "unknown append that lost",
)
"""What must have happened at least once: a zero is a hole in the simulation."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "clusterlite")


@pytest.mark.timeout(600)
def test_what_is_promised_holds_for_every_seed(capsys: pytest.CaptureFixture[str]) -> None:
    tally = runs(SEEDS)
    with capsys.disabled():
        for name in SOMETIMES:
            print(f"{tally.sometimes[name]:8} {name}")
        print(tally)
    assert tally.seeds == SEEDS
    assert tally.red == {}
    assert [name for name in SOMETIMES if not tally.sometimes[name]] == []


def test_a_seed_gives_the_same_run_again() -> None:
    assert run(7, 200).digest == run(7, 200).digest


def test_a_seed_gives_the_same_run_in_another_process() -> None:
    traces = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "clusterlite.testing.simulator", "--seed", "7"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            timeout=100,
        )
        traces.add(done.stdout.splitlines()[-1])
    assert traces == {f"trace {run(7, 200).digest}"}
