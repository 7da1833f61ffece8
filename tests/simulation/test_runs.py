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
    "barrier shared by several",
    "batch applied during a read",
    "bit flipped in a row",
    "checking",
    "checkpoint forged",
    "client asked again",
    "client went to another node",
    "compare-and-set that lost",
    "crash at after append",
    "crash at after commit",
    "crash at before append",
    "crash at before commit",
    "duplicate by client judged",
    "duplicate by producer judged",
    "duplicate by producer",
    "duplicate that came after the window",
    "early answer",
    "file overwritten",
    "group that fell back",
    "halt diverged",
    "halt log_gap",
    "halt log_rewound",
    "halt replica_corrupt",
    "halt replica_io",
    "halt too_new",
    "halt wrong_log",
    "hole in positions",
    "joined a waiter in flight",
    "key that came with another body",
    "leap in positions",
    "log trimmed",
    "message lost",
    "node cut from the log",
    "orderly stop",
    "poison: a program without a format",
    "poison: a shape that nobody knows",
    "poison: a wrong type",
    "poison: an id that is taken",
    "poison: another cluster",
    "poison: another cluster's format",
    "poison: broken bytes",
    "power lost while a copy was made",
    "read cut short",
    "read refused Behind",
    "reader waited for a token",
    "recovered from checking",
    "recovered from halt diverged",
    "recovered from halt log_gap",
    "recovered from halt log_rewound",
    "recovered from halt replica_corrupt",
    "recovered from halt replica_io",
    "recovered from halt too_new",
    "recovered from halt wrong_log",
    "recovered from log_unreachable",
    "recovered from strained",
    "replayed answer",
    "restored from a copy of another node",
    "settled as judged",
    "settled as never",
    "strong read behind a tail under way",
    "unknown append that landed late",
    "unknown append that landed",
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
