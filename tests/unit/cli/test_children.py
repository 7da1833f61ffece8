"""When a child that died is started again, and when it is given up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from clusterlite.cli.children import BACKOFF_MAX_S, STARTS_MAX, Child, how_ended, stop_all


@pytest.fixture
def child() -> Child:
    return Child("worker", [], ())


def pauses(child: Child, deaths: int) -> list[float]:
    """How long it waits after each of so many deaths at time 0."""
    found = []
    for _ in range(deaths):
        child.died(0.0)
        found.append(child.start_at)
    return found


def test_a_first_death_is_followed_by_a_start_at_once(child: Child) -> None:
    assert pauses(child, 1) == [0.0]


def test_pauses_grow_up_to_a_bound(child: Child) -> None:
    found = pauses(child, 100)
    assert found == sorted(found)
    assert len(set(found[:STARTS_MAX])) == STARTS_MAX
    assert found[-1] == BACKOFF_MAX_S


def test_a_child_that_never_was_up_is_hopeless_after_so_many_starts(child: Child) -> None:
    pauses(child, STARTS_MAX - 1)
    assert not child.hopeless
    pauses(child, 1)
    assert child.hopeless


def test_a_child_that_was_up_once_is_never_hopeless(child: Child) -> None:
    child.is_up(0.0)
    pauses(child, 10 * STARTS_MAX)
    assert not child.hopeless


def test_a_child_that_was_up_for_a_while_is_started_at_once_however_often_it_dies(
    child: Child,
) -> None:
    pauses(child, STARTS_MAX - 1)
    for life in range(10):
        child.is_up(10.0 * life)
        child.died(10.0 * life + 5.0)
        assert child.start_at == 10.0 * life + 5.0


def test_a_child_that_dies_as_soon_as_it_is_up_is_held_back(child: Child) -> None:
    for _ in range(3):
        child.is_up(0.0)
        child.died(0.1)
    assert child.start_at > 0.1


def test_stopping_kills_what_does_not_end(child: Child) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); signal.pause()"
    command = [sys.executable, "-u", "-c", deaf]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child.process:
        assert child.process.stdout is not None
        child.process.stdout.readline()
        begun = time.monotonic()
        stop_all([child], wait_s=0.2)
        assert time.monotonic() - begun < 5
        assert child.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "words"), [(1, "with exit code 1"), (-9, "by SIGKILL"), (-99, "by signal 99")]
)
def test_how_a_process_ended_in_words(code: int, words: str) -> None:
    assert how_ended(code) == words
