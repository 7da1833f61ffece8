"""How replica files are opened: one writer, any number of read-only readers.

Each pragma is a line with its reason. Only apsw opens these files: the standard library's
SQLite has another build of its own, with a WAL bug that can lose commits.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import apsw

from clusterlite.errors import Halt

FILE_FORMAT: Final = 1
BUSY_TIMEOUT_MS: Final = 5_000
CACHE_KIB: Final = 64 * 1024
STATEMENTS_CACHED: Final = 256
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
_ROOM_BYTES_MIN: Final = 64 * 1024

Connection = apsw.Connection


def open_writer(path: Path, *, doubted: bool = False) -> Connection:
    """The only write connection of a replica; makes the bookkeeping in a new file.

    Args:
        path: of the file.
        doubted: check the whole file first; takes seconds a gigabyte.

    Raises:
        Halt: `replica_corrupt` or `too_new` for a file that this build must not write,
            `replica_io` where the disk does not do as asked.
    """
    try:
        connection = Connection(
            str(path),
            flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
            statementcachesize=STATEMENTS_CACHED,
        )
        _common(connection)
        connection.pragma("journal_mode", "wal")
        # Safe here and only here: the position is in the same transaction as the rows, and the
        # log was durable before anything was acknowledged. What a power loss takes is replayed.
        connection.pragma("synchronous", "NORMAL")
        connection.pragma("foreign_keys", True)
        # The WAL is cut back to this after a checkpoint, so that one long read leaves no giant.
        connection.pragma("journal_size_limit", WAL_BYTES_MAX)
        _check_format(connection, path)
        damage = scalar(connection, "PRAGMA quick_check(1)") if doubted else "ok"
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise _corrupt(path, str(error)) from error
    except apsw.Error as error:
        raise unwritable(path, error) from error
    if damage != "ok":
        connection.close()
        raise _corrupt(path, " ".join(str(damage).split()))
    return connection


def _corrupt(path: Path, found: str) -> Halt:
    return Halt(
        "replica_corrupt",
        f"the replica {path} cannot be read: {found}",
        f"Stop the node, say `clusterlite repair {path.parent}`, with --log as it was started, and "
        "start it again: it is rebuilt from the log",
    )


def unwritable(path: Path, error: apsw.Error) -> Halt:
    """Why a replica's file cannot be opened or written, in the words of the file system."""
    found, cure = str(error), "Look at the disk"
    if isinstance(error, apsw.FullError) or _is_full(path.parent):
        found, cure = "its disk is full", "Make room there"
    elif not os.access(path if path.exists() else path.parent, os.W_OK, effective_ids=True):
        found = f"the user {os.geteuid()} may not write it"
        cure = "Give that user the right to, or choose another data folder"
    return Halt(
        "replica_io",
        f"the replica {path} cannot be opened: {found}",
        f"{cure}, then start the node again",
    )


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < _ROOM_BYTES_MIN


def open_reader(path: Path) -> Connection:
    """A read-only connection; cheap, one for each thread that reads.

    Raises:
        apsw.CantOpenError: there is no such file yet.
    """
    connection = Connection(
        str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENTS_CACHED
    )
    _common(connection)
    connection.pragma("query_only", True)
    return connection


def _common(connection: Connection) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # "double quoted" text is a name and never silently a string.
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    # Functions and virtual tables in a schema are not trusted: rows come from a shared log.
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.pragma("cache_size", -CACHE_KIB)
    # No mmap: an I/O error would kill the process instead of raising.
    connection.pragma("mmap_size", 0)


def _check_format(connection: Connection, path: Path) -> None:
    version = scalar(connection, "PRAGMA user_version")
    if version == 0 and scalar(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        _run(connection, "bookkeeping.sql")
    elif version != FILE_FORMAT:
        raise Halt(
            "too_new" if version > FILE_FORMAT else "replica_corrupt",
            f"the replica {path} has file format {version}, this build knows {FILE_FORMAT}",
            f"Start the build that wrote it, or say `clusterlite repair {path.parent}` and start "
            "this one: it rebuilds it from the log",
        )
    _run(connection, "checkpoints.sql")


def _run(connection: Connection, script: str) -> None:
    with connection:
        connection.execute(_text(script)).fetchall()


@cache
def _text(script: str) -> str:
    return (files("clusterlite.replica") / "sql" / script).read_text()


def scalar(connection: Connection, sql: str, bindings: tuple[Any, ...] = ()) -> Any:
    """The first column of the first row, None where there is no row."""
    row = connection.execute(sql, bindings).fetchone()
    return None if row is None else row[0]
