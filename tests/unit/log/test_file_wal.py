"""A snapshot of the embedded log that is held for long: its WAL grows to a bound, and shrinks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from clusterlite import sqlite_wal
from clusterlite.errors import LogUnavailable
from clusterlite.log import file_wal
from clusterlite.log.file import FileLog
from clusterlite.node import guard
from tests.app_node import AppNode
from tests.http_node import check_problem
from tests.nodes import User, put
from tests.processes import wait_until

PAGE_BYTES = 4096
MAX = 200 * PAGE_BYTES
VALUE = b"x" * 3_000
HOLDER = """
import sys, sqlite3
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM record").fetchall()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_wal, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(sqlite_wal, "HELD_BYTES_WARN", 100 * PAGE_BYTES)
    monkeypatch.setattr(sqlite_wal, "HELD_BYTES_MAX", MAX)
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.02)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FileLog]:
    opened = FileLog(tmp_path / "log")
    opened.open()
    yield opened
    opened.close()


@contextmanager
def snapshot(path: Path) -> Iterator[None]:
    """Another program reads the log, and does not end its transaction."""
    connection = apsw.Connection(str(path))
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM record").fetchall()
        yield
    finally:
        connection.close()


def wal_bytes(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def append_until_refused(log: FileLog) -> LogUnavailable:
    for _ in range(2_000):
        error = log.append([VALUE])[0].exception()
        if error is not None:
            assert isinstance(error, LogUnavailable)
            return error
    raise AssertionError(f"{wal_bytes(log.path)} bytes, and appends go on")


def test_past_the_bound_nothing_is_appended_until_the_snapshot_is_gone(log: FileLog) -> None:
    put(log, VALUE)
    with snapshot(log.path):
        error = append_until_refused(log)
        assert "since process" in error.detail
        assert error.cure == "End that program, or its transaction; the node goes on by itself"
        grown, end = wal_bytes(log.path), len(log.read(0, 9_999, 0).records)
        assert MAX < grown < MAX + 20 * PAGE_BYTES
        assert isinstance(log.append([VALUE, VALUE])[1].exception(), LogUnavailable)
        with pytest.raises(LogUnavailable, match="since process"):
            log.bounds()
        with pytest.raises(LogUnavailable):
            log.trim(1)
        assert wal_bytes(log.path) == grown
        assert len(log.read(0, 9_999, 0).records) == end, "what was refused was not written"
    assert log.bounds().end == end
    assert wal_bytes(log.path) == 0
    assert put(log, VALUE) == end


def test_an_append_recovers_by_itself_too(log: FileLog) -> None:
    put(log, VALUE)
    with snapshot(log.path):
        append_until_refused(log)
    put(log, VALUE)
    assert wal_bytes(log.path) < MAX / 2


def test_a_wal_that_nobody_holds_does_not_grow(log: FileLog) -> None:
    for _ in range(300):
        put(log, VALUE)
    assert wal_bytes(log.path) < 60 * PAGE_BYTES


def test_who_is_refused_waits_for_nobody(log: FileLog) -> None:
    waits: list[int] = []
    log._wal._waits = lambda tries: bool(waits.append(tries))
    put(log, VALUE)
    with snapshot(log.path):
        append_until_refused(log)
        log.append([VALUE])
    assert waits == []


def test_the_process_that_holds_it_is_named(log: FileLog) -> None:
    put(log, VALUE)
    command = [sys.executable, "-c", HOLDER, str(log.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        error = append_until_refused(log)
    assert f"since process {holder.pid} holds a snapshot of it" in error.detail
    assert str(os.getpid()) not in error.detail
    assert log.append([VALUE])[0].exception() is None


class Seam:
    """A connection that calls before each checkpoint."""

    def __init__(self, connection: apsw.Connection, before: Callable[[int], None]) -> None:
        self._connection = connection
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def wal_checkpoint(self, *, mode: int) -> tuple[int, int]:
        self._before(mode)
        return self._connection.wal_checkpoint(mode=mode)


@contextmanager
def asked_through(log: FileLog, before: Callable[[int], None]) -> Iterator[None]:
    """Let the handle's second connection, the guard's, call before each checkpoint."""
    asker = log._asker
    assert asker is not None
    log._asker = Seam(asker, before)  # type: ignore[assignment]
    try:
        yield
    finally:
        log._asker = asker


def test_a_long_wal_is_moved_before_the_write_lock_is_taken(log: FileLog) -> None:
    put(log, VALUE)
    with snapshot(log.path):
        append_until_refused(log)
    moved: list[bool] = []

    def before(mode: int) -> None:
        if mode == apsw.SQLITE_CHECKPOINT_TRUNCATE:
            moved.append(log.path.stat().st_size > small)

    small = log.path.stat().st_size
    with asked_through(log, before):
        log.bounds()
    assert moved == [True]


def test_while_this_process_moves_it_nobody_is_to_be_ended(log: FileLog) -> None:
    put(log, VALUE)
    with snapshot(log.path):
        append_until_refused(log)
    refused: list[BaseException | None] = []
    with asked_through(log, lambda _: refused.append(log.append([VALUE])[0].exception())):
        log.bounds()
    assert len(refused) == 2
    for error in refused:
        assert isinstance(error, LogUnavailable)
        assert error.detail.endswith("bytes, which are being moved into its file")
        assert error.cure == "Wait: the node goes on by itself"
    put(log, VALUE)


def test_a_write_lock_that_keeps_it_long_is_not_called_a_snapshot(log: FileLog) -> None:
    put(log, VALUE)
    with snapshot(log.path):
        append_until_refused(log)
    other = apsw.Connection(str(log.path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable) as refused:
        log.bounds()
    other.close()
    assert f"since process {os.getpid()} holds the write lock of it" in refused.value.detail
    assert "snapshot" not in refused.value.detail
    put(log, VALUE)


def test_a_checkpoint_without_memory_leaves_the_commit_as_it_is(log: FileLog) -> None:
    class NoMemory:
        def wal_checkpoint(self, _: str) -> None:
            raise apsw.NoMemError("out of memory")

    writer = log._writer
    assert writer is not None

    def committed(_: apsw.Connection, name: str, pages: int) -> int:
        failed.append(pages)
        return log._wal._committed(NoMemory(), name, pages)  # type: ignore[arg-type]

    failed: list[int] = []
    writer.set_wal_hook(committed)
    for _ in range(40):
        put(log, VALUE)
    assert max(failed) >= file_wal.CHECKPOINT_PAGES
    assert len(log.read(0, 99, 0).records) == 40


def test_a_warning_comes_before_the_bound_and_once(
    log: FileLog, caplog: pytest.LogCaptureFixture
) -> None:
    put(log, VALUE)
    with caplog.at_level(logging.WARNING, "clusterlite"), snapshot(log.path):
        append_until_refused(log)
    (record,) = [record for record in caplog.records if "log_snapshot_held" in record.message]
    assert "End that program" in record.message


def test_a_node_answers_503_with_the_cure_meanwhile_and_goes_on_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with AppNode(tmp_path / "a", FileLog(path), [User]) as node:

        def create(number: int) -> int:
            body = {"name": "x" * 3_000, "email": f"e{number}"}
            answers.append(node.request("POST", "/users", body))
            return answers[-1].status

        answers = [node.request("GET", "/users")]
        numbers = iter(range(2_000))
        with snapshot(path):
            wait_until(lambda: create(next(numbers)) == 503)
            problem = check_problem(answers[-1], 503, "log_unreachable")
            assert "holds a snapshot of it. End that program, or its" in problem["detail"]
            wait_until(lambda: node.request("GET", "/-/health/ready").status == 503)
            status = node.request("GET", "/-/cluster").json
            assert status["state"] == "log_unreachable"
            assert "the node goes on by itself" in status["reason"]["cure"]
            assert node.request("GET", "/users").status == 200, "reads go on"
            assert wal_bytes(path) < MAX + 60 * PAGE_BYTES
        wait_until(lambda: node.request("GET", "/-/health/ready").status == 200)
        assert wal_bytes(path) < MAX / 2
        assert create(next(numbers)) == 201
