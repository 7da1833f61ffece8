"""The embedded log: one file, shared by any number of processes on one machine.

A SQLite file in WAL mode with `synchronous=FULL`: a group of records is one transaction and one
fsync. Invariants:

1. Positions are kept in `meta`, not derived from rows, so none is given twice after a trim.
2. What fails before COMMIT was rolled back and is `LogUnavailable`; what fails in COMMIT is
   `AppendUnknown`. A full disk and a busy file pass. After any other failure of a COMMIT, a
   write or a checkpoint this process appends no more, since a second fsync may succeed falsely
   (PostgreSQL's fsync finding of 2018); who opens the file next checks it first.
3. The file knows its inode: a copy of it is another log, and does not open by itself; and no
   append goes to a file that is not at its path any more.
4. Whoever holds the write lock for long stops appends, and the caller's thread for a second once;
   whoever holds a snapshot stops them once the WAL is too long (`file_wal.py`).
"""

from __future__ import annotations

import os
import select
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, NoReturn

import apsw

from clusterlite.errors import (
    AppendUnknown,
    ClusterLiteError,
    ConfigError,
    Halt,
    LogClosed,
    LogUnavailable,
)
from clusterlite.log.base import Batch, Bounds, Identity, Look, Record, Settled
from clusterlite.log.doorbell import Ringer, SocketBell, bell_folder
from clusterlite.log.file_wal import WAL_KEPT_BYTES, Wal
from clusterlite.log.memory import check_range, too_large
from clusterlite.log.place import (
    check_doubt,
    check_room,
    check_there,
    locked,
    note_doubt,
    unusable,
)

RECORD_BYTES_MAX: Final = 1_000_000
FILE_FORMAT: Final = 1
BUSY_TIMEOUT_MS: Final = 1_000
LOCK_LOOK_MS: Final = 10
"""How long a lock is waited for that was waited for in vain before: nobody else should wait."""

_LOCK_POLL_S: Final = 0.001
POLL_S: Final = 0.25
"""How long `read` trusts the bell before it looks by itself."""

_PASSING: Final = (apsw.FullError, apsw.BusyError)
_DOUBT: Final = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)
_UNWRITABLE: Final = (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError)

_GROUPS: Final = (64, 16, 4, 1)
_INSERT: Final = {
    size: "INSERT INTO record VALUES " + ",".join(["(?,?,?)"] * size)  # noqa: S608
    for size in _GROUPS
}
APPLICATION_ID: Final = 0x434C4C47  # "CLLG"

_SCHEMA: Final = f"""
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    log_id TEXT NOT NULL,
    inode INTEGER NOT NULL,
    first INTEGER NOT NULL,     -- oldest kept position
    next INTEGER NOT NULL,      -- position of the next record
    last_ms INTEGER NOT NULL    -- the largest record time
) STRICT;
CREATE TABLE record (
    position INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FILE_FORMAT};
"""


class FileLog:
    """A handle on a log file.

    Args:
        path: of the file; made by `open` where it does not exist.
    """

    record_bytes_max = RECORD_BYTES_MAX
    has_doorbell = True
    caveat: str | None = "one file on one machine, as safe as its disk"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"file:{path}"
        self._lock = threading.Lock()
        self._writer: apsw.Connection | None = None
        self._asker: apsw.Connection | None = None
        self._asking = threading.Lock()
        self._reading = threading.Lock()
        self._bell: SocketBell | None = None
        self._ringer: Ringer | None = None
        self._poisoned: Halt | None = None
        self._inode = -1
        self._place = path
        self._locked_since: float | None = None
        self._wal = Wal(path, self._waits_for_lock)
        self._closed = False

    def open(self) -> None:
        """See `base.Log`."""
        if self._closed:
            raise LogClosed("the log is closed")
        if self._writer is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the log's folder {self.path.parent} cannot be made: {error.strerror}; "
                "name another with --log"
            ) from error
        writer = self._connect()
        try:
            self._inode = _prepare(writer, self.path)
            self._place = self.path.absolute()  # whatever becomes of the working folder
            _sync_folder(self.path.parent)
            self._asker = self._connect()
            self._ringer = Ringer(bell_folder(self.path))
        except BaseException:
            writer.close()
            raise
        self._writer = writer

    def _connect(self) -> apsw.Connection:
        connection = _connect(self.path)
        connection.set_busy_handler(self._waits_for_lock)
        self._wal.watch(connection)
        return connection

    def _waits_for_lock(self, tries: int) -> bool:
        """Whether to try a lock again. More often than SQLite does: nodes take turns fairly."""
        time.sleep(_LOCK_POLL_S)
        return tries < (BUSY_TIMEOUT_MS if self._locked_since is None else LOCK_LOOK_MS)

    def append(self, values: Sequence[bytes]) -> list[Settled]:
        """See `base.Log`. Commits in the calling thread.

        Rings other readers only: a `read` that follows on this handle sees the records.
        """
        most = self.record_bytes_max
        accepted = [value for value in values if len(value) <= most]
        if not accepted:
            return [Settled(too_large(value, most)) for value in values]
        try:
            with self._lock:
                position = self._commit(accepted)
        except ClusterLiteError as error:
            settled = [Settled(error)] * len(accepted)
        else:
            settled = list(map(Settled, range(position, position + len(accepted))))
            if self._ringer is not None:
                self._ringer.ring(self._bell)
        if len(accepted) == len(values):
            return settled
        left = iter(settled)
        return [
            next(left) if len(value) <= most else Settled(too_large(value, most))
            for value in values
        ]

    def _commit(self, values: list[bytes]) -> int:
        """Write one group; the position of its first value."""
        writer = self._writer
        if self._closed or writer is None:
            raise LogClosed("the log is not open")
        if self._poisoned is not None:
            raise LogUnavailable(self._poisoned.detail, self._poisoned.cure)
        try:
            self._check_there()
        except Halt as gone:
            raise LogUnavailable(gone.detail, gone.cure) from None
        check_room(self._place, sum(map(len, values)))
        self._check_wal(writer)
        began = time.monotonic()
        now_ms = time.time_ns() // 1_000_000
        committing = False
        try:
            writer.execute("BEGIN IMMEDIATE")
            position, last_ms = _row(writer, "SELECT next, last_ms FROM meta")
            time_ms = max(now_ms, last_ms)
            _insert(writer, position, time_ms, values)
            writer.execute(
                "UPDATE meta SET next = ?, last_ms = ?", (position + len(values), time_ms)
            )
            committing = True
            writer.execute("COMMIT")
        except apsw.BusyError as error:
            if not committing:
                self._locked_since = self._locked_since or began
            self._failed(writer, error, committing=committing)
        except apsw.Error as error:
            self._failed(writer, error, committing=committing)
        self._locked_since = None
        return int(position)

    def _check_there(self) -> None:
        try:
            check_there(self._place, self._inode)
        except Halt as gone:
            self._poisoned = gone  # the next `read` raises it
            raise

    def _check_wal(self, connection: apsw.Connection) -> None:
        try:
            self._wal.check(connection)
        except apsw.Error as error:
            self._failed(connection, error, committing=False)

    def _failed(self, writer: apsw.Connection, error: apsw.Error, *, committing: bool) -> NoReturn:
        if _is_doubt(error) or (committing and not isinstance(error, _PASSING)):
            self._poisoned = self._doubt(error)
        try:
            # SQLite has ended the transaction already after most errors. Held on to, it would
            # keep every other process from appending.
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        except apsw.Error as doubt:
            self._poisoned = self._doubt(doubt)
        if committing:
            raise AppendUnknown(f"the log {self.path}: {error}") from error
        if self._locked_since is not None and isinstance(error, apsw.BusyError):
            raise locked(self.path, time.monotonic() - self._locked_since) from error
        if isinstance(error, _UNWRITABLE):
            raise LogUnavailable(str(unusable(self.path, error))) from error
        raise LogUnavailable(f"the log {self.path}: {error}") from error

    def _doubt(self, error: apsw.Error) -> Halt:
        note_doubt(self.path, str(error))
        if not isinstance(error, apsw.IOError) and isinstance(error, _DOUBT):
            return _corrupt(self.path, error)
        return Halt(
            "log_io",
            f"a commit of the log {self.path} failed: {error}",
            "Look at the disk, then start the node again: it checks the file before it serves",
        )

    def tail(self) -> Future[int]:
        """See `base.Log`."""
        future: Future[int] = Future()
        try:
            future.set_result(self.bounds().end - 1)
        except ClusterLiteError as error:
            future.set_exception(error)
        return future

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """See `base.Log`."""
        deadline = time.monotonic() + timeout_s
        with self._reading:  # `close` takes the bell away only when nobody looks at it
            while True:
                bell = self._bell
                if bell is not None and not self._closed:
                    bell.silence()
                with self._lock:
                    batch = self._read(position, max_records)
                left = deadline - time.monotonic()
                if batch.records or left <= 0:
                    return batch
                select.select([self._own_bell()], [], [], min(left, POLL_S))

    def _read(self, position: int, max_records: int) -> Batch:
        if self._closed or self._writer is None:
            raise LogClosed("the log is not open")
        if self._poisoned is not None:
            raise self._poisoned
        rows = self._ask(
            self._writer,
            "SELECT position, time_ms, value FROM record WHERE position >= ?"
            " ORDER BY position LIMIT ?",
            (position, max_records),
        )
        # The usual case needs no look at the bounds: the record asked for is there.
        if not rows or rows[0][0] != position:
            bounds = Bounds(*self._ask(self._writer, "SELECT first, next FROM meta")[0])
            check_range(position, bounds)
            if rows or self._is_missing(self._writer, position, bounds):
                raise _corrupt(self.path, f"no record stands at position {position}")
        records = list(map(Record._make, rows))
        end = records[-1].position + 1 if records else position
        if end - position != len(records):  # this log makes no holes
            raise _corrupt(self.path, f"records are missing between {position} and {end}")
        return Batch(records, end)

    def _is_missing(self, writer: apsw.Connection, position: int, bounds: Bounds) -> bool:
        """Whether a record that the log should hold is not there, and was not appended since."""
        there = "SELECT 1 FROM record WHERE position = ?"
        return position < bounds.end and not self._ask(writer, there, (position,))

    def peek(self, position: int) -> Record | None:
        """See `base.Log`."""
        rows = self._question(
            "SELECT position, time_ms, value FROM record WHERE position = ?", (position,)
        )
        return Record._make(rows[0]) if rows else None

    def look(self) -> Look:
        """See `base.Log`."""
        from clusterlite.log.look import FileLook  # noqa: PLC0415 - it is built on this module

        if self._closed:
            raise LogClosed("the log is closed")
        return FileLook(self.path)

    def bounds(self) -> Bounds:
        """See `base.Log`. Fails while nothing can be appended: what is asked for is a whole log."""
        self._check_appends()
        return Bounds(*self._question("SELECT first, next FROM meta")[0])

    def _check_appends(self) -> None:
        if self._asker is not None and not self._closed:
            self._check_there()
            check_room(self._place, 0)
        with self._asking:
            if self._closed or self._asker is None:
                raise LogClosed("the log is not open")
            self._check_wal(self._asker)
            since = self._locked_since
            if since is None:
                return
            try:
                self._asker.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                raise locked(self.path, time.monotonic() - since) from None
            self._asker.execute("ROLLBACK")
        self._locked_since = None

    def identity(self) -> Identity:
        """See `base.Log`."""
        return Identity("file", self._question("SELECT log_id FROM meta")[0][0], "")

    def trim(self, position: int) -> None:
        """See `base.Log`."""
        with self._lock:
            if self._closed or self._writer is None:
                raise LogClosed("the log is not open")
            if self._poisoned is not None:
                raise LogUnavailable(self._poisoned.detail, self._poisoned.cure)
            self._check_wal(self._writer)
            try:
                with self._writer:
                    self._writer.execute("DELETE FROM record WHERE position < ?", (position,))
                    self._writer.execute(
                        "UPDATE meta SET first = min(max(first, ?), next)", (position,)
                    )
            except apsw.Error as error:
                self._failed(self._writer, error, committing=False)

    def doorbell(self) -> int | None:
        """See `base.Log`."""
        return self._own_bell()

    def _own_bell(self) -> int:
        if self._closed:
            raise LogClosed("the log is closed")
        if self._bell is None:
            self._bell = SocketBell(bell_folder(self.path))
        return self._bell.fileno()

    def close(self) -> None:
        """See `base.Log`."""
        if self._closed:
            return
        self._closed = True
        if self._ringer is not None:
            self._ringer.ring(None)  # wakes a read of this handle, which finds it closed
        with self._reading, self._lock, self._asking:
            for part in (self._writer, self._asker, self._ringer, self._bell):
                if part is not None:
                    part.close()

    def _question(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        """Ask over the second connection, which sees what is committed now."""
        with self._asking:
            if self._closed or self._asker is None:
                raise LogClosed("the log is not open")
            return self._ask(self._asker, sql, bindings)

    def _ask(
        self, connection: apsw.Connection, sql: str, bindings: tuple[Any, ...] = ()
    ) -> list[Any]:
        try:
            return connection.execute(sql, bindings).fetchall()
        except (apsw.BusyError, apsw.LockedError, apsw.NoMemError) as error:
            raise LogUnavailable(f"the log {self.path}: {error}") from error
        except apsw.Error as error:
            raise _corrupt(self.path, error) from error


def adopt_moved(path: Path) -> None:
    """Accept a file that was moved or copied as the log that it was: the other copy is gone.

    Raises:
        ConfigError: there is no such log.
    """
    if not path.exists():
        raise ConfigError(f"there is no log at {path}")
    connection = _connect(path)
    Wal(path).watch(connection)
    try:
        connection.execute("UPDATE meta SET inode = ?", (path.stat().st_ino,))
    except apsw.Error as error:
        raise ConfigError(f"{path} is no log of ClusterLite: {error}") from error
    finally:
        connection.close()


def _connect(path: Path) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        _use_wal(connection)
        # The log is what everything else is rebuilt from: a commit is on disk when it returns.
        connection.pragma("synchronous", "FULL")
        connection.pragma("journal_size_limit", WAL_KEPT_BYTES)
        connection.pragma("mmap_size", 0)
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise _corrupt(path, error) from error
    except _UNWRITABLE as error:
        raise unusable(path, error) from error
    except apsw.Error as error:
        check_room(path.parent, 0)
        raise LogUnavailable(f"the log {path}: {error}") from error
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    """SQLite gives up at once where two processes make one file: then it is tried again."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_POLL_S)
        else:
            return


def _prepare(connection: apsw.Connection, path: Path) -> int:
    """Make the tables in a new file; check those of an old one. The file's inode."""
    inode = path.stat().st_ino
    try:
        if connection.readonly("main"):
            raise unusable(path, apsw.ReadOnlyError("it is read-only"))
        if _is_new(connection):  # who opens an old one waits for no lock
            connection.execute("BEGIN IMMEDIATE")
            if _is_new(connection):
                connection.execute(_SCHEMA).fetchall()
                connection.execute(
                    "INSERT INTO meta VALUES (1,?,?,0,0,0)", (str(uuid.uuid4()), inode)
                )
            connection.execute("COMMIT")
        if connection.pragma("application_id") != APPLICATION_ID:
            raise ConfigError(
                f"{path} is a SQLite file, and no log of ClusterLite; name another with --log"
            )
        version = connection.pragma("user_version")
        stored = _row(connection, "SELECT inode FROM meta")[0]
        damage = check_doubt(connection, path)
    except apsw.Error as error:
        check_room(path.parent, 0)
        if isinstance(error, _PASSING):
            raise LogUnavailable(f"the log {path}: {error}") from error
        if isinstance(error, _UNWRITABLE):
            raise unusable(path, error) from error
        raise _corrupt(path, error) from error
    if damage is not None:
        raise _corrupt(path, damage)
    if version != FILE_FORMAT:
        raise Halt(
            "too_new",
            f"the log {path} has file format {version}, this build knows {FILE_FORMAT}",
            "Start the build that wrote it",
        )
    if stored != inode:
        raise Halt(
            "log_moved",
            f"the log {path} is a copy, or was moved between file systems",
            "Where the first one lives on, give this node an empty data folder and the first one's "
            f"--log. If the first one is gone for good: clusterlite adopt --moved {path}",
        )
    return inode


def _is_new(connection: apsw.Connection) -> bool:
    tables = _row(connection, "SELECT count(*) FROM sqlite_schema")[0]
    return not tables and connection.pragma("user_version") == 0


def _is_doubt(error: apsw.Error) -> bool:
    """The index of the WAL did not grow on a full disk: that passes, as a full disk does."""
    passes = getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    return isinstance(error, _DOUBT) and not passes


def _row(connection: apsw.Connection, sql: str) -> tuple[Any, ...]:
    """The first row of a query that has one."""
    row: tuple[Any, ...] = connection.execute(sql).fetchone() or ()
    return row


def _insert(writer: apsw.Connection, position: int, time_ms: int, values: list[bytes]) -> None:
    start = 0
    for size in _GROUPS:
        while len(values) - start >= size:
            bindings: list[Any] = []
            for offset in range(start, start + size):
                bindings += (position + offset, time_ms, values[offset])
            writer.execute(_INSERT[size], bindings)
            start += size


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable (POSIX: an fsync of the folder)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Halt(
            "log_io",
            f"the folder {folder} of the log cannot be synced: {error.strerror}",
            "Look at the disk, then start the node again",
        ) from error


def _corrupt(path: Path, error: apsw.Error | str) -> Halt:
    return Halt(
        "log_corrupt",
        f"the log {path} cannot be read: {error}",
        "Restore it from a copy; delete nothing, the replica may hold what it lost",
    )
