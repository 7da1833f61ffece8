"""The environment fails under the replica: a named reason, nothing half committed, nothing told.

What may pass by itself (a full disk, a file that is busy) is tried again with the same records;
what leaves the file in doubt stops the replica.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from clusterlite.core.codec import encode
from clusterlite.core.entity import Entity
from clusterlite.errors import Halt
from clusterlite.log.base import Record
from clusterlite.log.memory import MemoryLog
from clusterlite.node.follower import Follower, Strained
from clusterlite.replica import database
from clusterlite.replica.applier import Applier
from clusterlite.replica.database import open_reader, open_writer
from clusterlite.replica.state import take_over
from tests.faulty import FaultySystem
from tests.support import Replica, User, replay

ANN = {"id": "u1", "name": "Ann", "email": "ann@example.com"}
BEN = {"id": "u2", "name": "Ben", "email": "ben@example.com"}


class Everybody:
    """Every event id is waited for."""

    def __contains__(self, event_id: object) -> bool:
        return True


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> FaultySystem:
    """Whatever `database` opens during the test goes through it."""
    system = FaultySystem()
    opened = functools.partial(apsw.Connection, vfs=system.name)
    monkeypatch.setattr(database, "Connection", opened)
    return system


@pytest.fixture
def replica(system: FaultySystem, tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(tmp_path)
    replica.connection.set_busy_timeout(0)
    replica.found(User)
    yield replica
    replica.close()


@pytest.fixture
def follower(replica: Replica) -> Iterator[Follower]:
    """Of a log that holds two more events than the replica applied."""
    log = MemoryLog()
    log.open()
    log.append([record.value for record in replica.log])
    log.append([replica.event("INSERT", ANN), b"no event", replica.event("PATCH", ANN)])
    yield Follower(log, replica.applier, Everybody())
    log.close()


@contextmanager
def held(replica: Replica) -> Iterator[None]:
    """Somebody else has the write lock of the replica's file."""
    other = apsw.Connection(str(replica.path))
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def in_file(replica: Replica) -> tuple[int, bytes, int]:
    """Position, running hash and number of users, as another connection finds them."""
    reader = open_reader(replica.path)
    try:
        ((position, running, users),) = reader.execute(
            "SELECT position, hash, (SELECT count(*) FROM users) FROM _cl_state"
        )
    finally:
        reader.close()
    return position, running, users


def assert_applied_as_without_a_fault(replica: Replica, follower: Follower, folder: Path) -> None:
    done = follower.step(0)
    assert done is not None
    assert [applied.outcome.code for applied in done] == [None, "unreadable", None]
    twin = replay(folder / "twin", follower._log.read(0, 100, 0).records)
    assert replica.verified() == twin.verified()
    twin.close()


@pytest.mark.parametrize("fault", [apsw.FullError, apsw.NoMemError])
def test_what_the_machine_lacks_is_waited_for(
    fault: type[apsw.Error],
    system: FaultySystem,
    replica: Replica,
    follower: Follower,
    tmp_path: Path,
) -> None:
    before, committed, following = in_file(replica), replica.applier.committed, follower.next
    for _ in range(3):
        with system.failing(fault, "write"), pytest.raises(Strained):
            follower.step(0)
        assert in_file(replica) == before
        assert replica.applier.committed[:-1] == committed[:-1]
        assert (replica.applier.state.position, follower.next) == (committed.position, following)
    assert_applied_as_without_a_fault(replica, follower, tmp_path)


def test_a_busy_file_is_waited_for(replica: Replica, follower: Follower, tmp_path: Path) -> None:
    before, committed = in_file(replica), replica.applier.committed
    with held(replica), pytest.raises(Strained):
        follower.step(0)
    assert in_file(replica) == before
    assert replica.applier.committed[:-1] == committed[:-1]
    assert_applied_as_without_a_fault(replica, follower, tmp_path)


def test_an_input_output_error_halts_and_commits_nothing(
    system: FaultySystem, replica: Replica, follower: Follower, tmp_path: Path
) -> None:
    before, committed = in_file(replica), replica.applier.committed
    with system.failing(apsw.IOError, "write"), pytest.raises(Halt) as raised:
        follower.step(0)
    assert raised.value.reason == "replica_io"
    assert in_file(replica) == before
    assert replica.applier.committed[:-1] == committed[:-1]
    again = Follower(follower._log, replica.applier, Everybody())
    assert_applied_as_without_a_fault(replica, again, tmp_path)


def test_a_checkpoint_that_fails_halts_and_the_commit_before_it_stands(
    system: FaultySystem,
    replica: Replica,
    follower: Follower,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """COMMIT raises the error of the checkpoint: nobody is told, and nothing is applied twice."""
    monkeypatch.setattr(replica.applier.wal, "checkpoint_pages", 1)
    committed, system.ending = replica.applier.committed, "replica-1.db"
    with system.failing(apsw.IOError, "write", "sync"), pytest.raises(Halt) as raised:
        follower.step(0)
    assert raised.value.reason == "replica_io"
    last = committed.position + 3
    assert in_file(replica)[0] == last
    replica.close()
    replica.connection = open_writer(replica.path, doubted=True)
    again = Applier(replica.connection, "incarnation")
    assert again.committed.position == last
    twin = replay(tmp_path / "twin", follower._log.read(0, 100, 0).records)
    assert (again.committed.hash, in_file(replica)[2]) == (twin.applier.committed.hash, 1)
    twin.close()


@pytest.mark.parametrize("fault", [apsw.FullError, apsw.NoMemError])
def test_a_checkpoint_that_lacks_something_is_left_to_the_next_commit(
    fault: type[apsw.Error],
    system: FaultySystem,
    replica: Replica,
    follower: Follower,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replica.applier.wal, "checkpoint_pages", 1)
    system.ending = "replica-1.db"
    with system.failing(fault, "write"):
        done = follower.step(0)
    assert [applied.outcome.code for applied in done or ()] == [None, "unreadable", None]
    assert follower.step(0) is None
    twin = replay(tmp_path / "twin", follower._log.read(0, 100, 0).records)
    assert replica.verified() == twin.verified()
    twin.close()


class _IndexIsFull(apsw.IOError):
    """The index of the WAL does not grow on a full disk."""

    extendedresult = apsw.SQLITE_IOERR_SHMSIZE


def test_what_was_committed_before_a_failed_checkpoint_is_not_read_again(
    system: FaultySystem, replica: Replica, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that come again look like a log that was rewound."""
    monkeypatch.setattr(replica.applier.wal, "checkpoint_pages", 1)
    system.ending = "replica-1.db"
    with system.failing(_IndexIsFull, "write"), pytest.raises(Strained):
        follower.step(0)
    assert follower.next == in_file(replica)[0] + 1
    assert follower.step(0) is None


def test_where_even_the_state_cannot_be_read_again_no_other_thread_sees_the_batch(
    system: FaultySystem, replica: Replica, follower: Follower
) -> None:
    """The file is cut off in the middle: the roll-back and what follows it fail too."""
    committed = replica.applier.committed
    replica.connection.pragma("wal_checkpoint", "truncate")
    replica.connection.pragma("cache_size", 1)
    with system.failing(apsw.IOError, "read", "write"), pytest.raises(Halt) as raised:
        follower.step(0)
    assert raised.value.reason == "replica_io"
    assert replica.applier.committed[:-1] == committed[:-1]
    assert follower.seen == (committed.position, committed.record_hash)


def test_a_damaged_page_halts_and_commits_nothing(replica: Replica, follower: Follower) -> None:
    (page,) = replica.connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'users'"
    ).fetchone()
    size = replica.connection.pragma("page_size")
    replica.connection.pragma("wal_checkpoint", "truncate")
    replica.close()
    with replica.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    replica.connection = open_writer(replica.path)
    applier = Applier(replica.connection, "incarnation")
    before = applier.committed
    with pytest.raises(Halt) as raised:
        Follower(follower._log, applier, Everybody()).step(0)
    assert raised.value.reason == "replica_corrupt"
    assert applier.committed[:-1] == before[:-1]
    (position,) = replica.connection.execute("SELECT position FROM _cl_state").fetchone()
    assert position == before.position


def test_a_file_that_another_start_took_over_is_left_alone(
    replica: Replica, follower: Follower
) -> None:
    other = open_writer(replica.path)
    take_over(other, "n", "a later start")
    other.close()
    before, committed = in_file(replica), replica.applier.committed
    with pytest.raises(Halt) as raised:
        follower.step(0)
    assert raised.value.reason == "replica_taken"
    assert in_file(replica) == before
    assert replica.applier.committed[:-1] == committed[:-1]


def test_a_file_that_another_writer_moved_on_is_left_alone(
    replica: Replica, follower: Follower
) -> None:
    other = Applier(open_writer(replica.path), "incarnation")
    other.apply(follower._log.read(follower.next, 1, 0).records)
    moved = in_file(replica)
    with pytest.raises(Halt) as raised:
        follower.step(0)
    assert raised.value.reason == "replica_taken"
    assert in_file(replica) == moved
    other._connection.close()


# Opening.


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "replica-1.db"
    path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(Halt) as raised:
        open_writer(path)
    assert raised.value.reason == "replica_corrupt"
    assert path.read_bytes() == b"not a database" * 1_000


@pytest.mark.parametrize("fault", [apsw.IOError, apsw.FullError])
@pytest.mark.parametrize("operation", ["read", "write"])
def test_a_file_that_cannot_be_opened_says_to_look_at_the_disk(
    fault: type[apsw.Error], operation: str, system: FaultySystem, tmp_path: Path
) -> None:
    if operation == "read":
        Replica(tmp_path).close()
    with system.failing(fault, operation), pytest.raises(Halt) as raised:
        open_writer(tmp_path / "replica-1.db")
    assert raised.value.reason == "replica_io"
    open_writer(tmp_path / "replica-1.db").close()


def test_a_disk_that_is_full_at_the_start_says_to_look_at_the_disk(
    system: FaultySystem, replica: Replica
) -> None:
    with system.failing(apsw.FullError, "write"), pytest.raises(Halt) as raised:
        take_over(replica.connection, "n", "another")
    assert raised.value.reason == "replica_io"
    assert replica.one(replica.event("INSERT", BEN)).verdict == "applied"


# What other threads read.


def test_what_is_committed_changes_with_the_commit_and_never_before(replica: Replica) -> None:
    seen: list[tuple[int, int]] = []

    class Watching(Everybody):
        def __contains__(self, event_id: object) -> bool:
            seen.append((replica.applier.committed.position, replica.applier.state.position))
            return True

    before = replica.applier.committed
    values = [replica.event("INSERT", ANN), replica.event("PATCH", ANN)]
    records = [Record(before.position + 1 + n, 0, value) for n, value in enumerate(values)]
    replica.applier.apply(records, Watching())
    assert [committed for committed, _ in seen] == [before.position, before.position]
    assert seen[-1] == (before.position, before.position + 2)
    after = replica.applier.committed
    assert (after.position, after.hash) == (before.position + 2, replica.applier.state.hash)
    assert after.tables is before.tables


def test_the_published_tables_are_others_once_one_changed(replica: Replica) -> None:
    class Note(Entity, table="notes"):
        text: str

    before = replica.applier.committed.tables
    declaration = Note.declaration
    replica.one(encode(replica.stamp(), "SCHEMA", declaration.name, declaration.to_json()))
    assert sorted(before) == ["users"]
    assert sorted(replica.applier.committed.tables) == ["notes", "users"]
