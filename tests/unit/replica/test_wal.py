"""A snapshot that is held for long: the replica's write-ahead log grows to a bound, and shrinks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusterlite import Node, sqlite_wal
from clusterlite.errors import ClusterLiteError
from clusterlite.log.memory import MemoryLog
from clusterlite.replica import wal
from clusterlite.replica.database import open_reader
from clusterlite.replica.folder import DataFolder
from tests.nodes import User, names, user
from tests.processes import wait_until

PAGE_BYTES = 4096
MAX = 200 * PAGE_BYTES


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(wal, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(sqlite_wal, "HELD_BYTES_WARN", 100 * PAGE_BYTES)
    monkeypatch.setattr(sqlite_wal, "HELD_BYTES_MAX", MAX)
    with Node(tmp_path / "a", MemoryLog(), [User]) as opened:
        opened.wait_s = 0.5
        yield opened


@contextmanager
def snapshot(node: Node) -> Iterator[None]:
    """Another program reads, and does not end its transaction."""
    reader = open_reader(DataFolder(node.data).replica)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchall()
        yield
    finally:
        reader.close()


def wal_bytes(node: Node) -> int:
    return Path(f"{DataFolder(node.data).replica}-wal").stat().st_size


def write_until_refused(node: Node) -> int:
    """Creates until one is not answered with success; how many were."""
    for number in range(2_000):
        try:
            node.create(user(f"{number:04}" + "x" * 150, f"k{number:04}"))
        except ClusterLiteError:
            return number
    raise AssertionError(f"{wal_bytes(node)} bytes, and writes go on")


def test_a_snapshot_that_is_held_stops_the_replica_at_a_bound_and_it_goes_on_by_itself(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "clusterlite"), snapshot(node):
        written = write_until_refused(node)
        assert wal_bytes(node) < 2 * MAX
        status = node.status()
        assert status["state"] == "strained"
        assert status["wal_bytes"] > MAX
        assert "another program holds a snapshot of it" in status["reason"]["detail"]
        assert status["reason"]["cure"] == (
            "End that program, or its transaction; it goes on by itself"
        )
        held = wal_bytes(node)
        with pytest.raises(ClusterLiteError):
            node.create(user("late", "late"))
        assert wal_bytes(node) == held
    assert sum("snapshot_held" in record.getMessage() for record in caplog.records) == 1
    wait_until(lambda: node.status()["state"] == "ready", lambda: str(node.status()))
    wait_until(lambda: len(names(node)) >= written + 2)
    assert wal_bytes(node) < MAX
    assert node.status()["wal_bytes"] < MAX


def test_without_a_snapshot_the_log_is_moved_into_the_file_and_begun_anew(node: Node) -> None:
    for number in range(200):
        node.create(user(f"{number}"))
    assert wal_bytes(node) < 50 * PAGE_BYTES
