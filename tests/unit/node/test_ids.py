"""Ids and times of a write: their form, and that ids of one process only grow."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest

from clusterlite.node import ids
from clusterlite.node.ids import timestamp, uuid7


def test_an_id_is_a_uuid_of_version_7_in_lower_case_with_hyphens() -> None:
    for text in [uuid7() for _ in range(1_000)]:
        made = UUID(text)
        assert str(made) == text
        assert (made.version, made.variant) == (7, RFC_4122)


def test_its_first_48_bits_are_the_milliseconds_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(uuid7()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000 + 1


def test_ids_grow_as_text_within_a_millisecond_and_when_the_clock_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = uuid7()
    stopped_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: stopped_ns)
    made = [first, *(uuid7() for _ in range(2_000))]
    monkeypatch.setattr(time, "time_ns", lambda: stopped_ns - 3_600 * 10**9)
    made += [uuid7() for _ in range(2_000)]
    assert made == sorted(set(made))


def test_ids_grow_where_their_last_group_runs_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_ns = time.time_ns() + 3_600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: stopped_ns)
    made = [uuid7()]
    monkeypatch.setattr(ids._ids, "_low", 2**48 - 2)
    made += [uuid7() for _ in range(10)]
    assert made == sorted(set(made))
    assert len({text[:23] for text in made}) == 2


def test_ids_of_several_threads_are_all_different_and_grow_in_each() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(mine: list[str]) -> None:
        mine += [uuid7() for _ in range(2_000)]

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({text for mine in made for text in mine}) == 8_000


def test_forked_processes_make_ids_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_ns = time.time_ns() + 3_600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: stopped_ns)
    uuid7()
    made = [made_in_fork(), made_in_fork(), uuid7()]
    assert len(set(made)) == 3


def made_in_fork() -> str:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, uuid7().encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as told:
        return told.read()


def test_a_time_is_rfc_3339_in_utc_with_six_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    moment_ns = 1_795_377_600_000_001_999
    monkeypatch.setattr(time, "time_ns", lambda: moment_ns)
    assert timestamp() == "2026-11-22T20:00:00.000001Z"


def test_times_never_go_back_and_follow_the_seconds() -> None:
    made = [timestamp() for _ in range(1_000)]
    assert made == sorted(made)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text) for text in made)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made[-1])).total_seconds()) < 60
