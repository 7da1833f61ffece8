"""A plain SQLite file of a replica, made beside a running node.

Invariants:

1. The copy is one snapshot: a read transaction is held over all pages, so that the node's
   writes neither tear it nor make it begin again.
2. The final name never has half a file: a folder of its own holds it until it is whole and on
   disk (an fsync), then it gets its name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from clusterlite.errors import ConfigError
from clusterlite.replica.database import Connection, open_reader, scalar
from clusterlite.replica.tables import load_tables, quote

PAGES_A_STEP: Final = 1_000


class Copied(NamedTuple):
    """What was copied.

    Args:
        cluster: cluster id, empty before the log has one.
        position: of the snapshot.
        rows: per table.
        bytes: of the file.
    """

    cluster: str
    position: int
    rows: dict[str, int]
    bytes: int


def copy_replica(replica: Path, target: Path, *, bookkeeping: bool, replace: bool) -> Copied:
    """Write a replica's tables into a file of their own, which no `-wal` goes with.

    Args:
        replica: its file; it is only read.
        target: the file to make, in a folder that is there.
        bookkeeping: keep the tables that begin with `_cl_`.
        replace: `target` may be there, and is replaced in one step.

    Raises:
        ConfigError: `target` is there and `replace` is not set, or it cannot be written.
        apsw.Error: the replica cannot be read.
    """
    check_target(target, replace=replace)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ConfigError(f"{target.parent} cannot be written: {error.strerror}") from error
    try:
        made, copied = _make(replica, work, bookkeeping=bookkeeping)
        shutil.copymode(replica, made)
        _sync(made)
        _name(made, target, replace=replace)
        _sync(target.parent)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    except apsw.FullError as error:
        raise ConfigError(f"there is no space for {target}; nothing was made") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return copied


def check_target(target: Path, *, replace: bool) -> None:
    """Refuse a name that a copy must not take.

    Raises:
        ConfigError: says why, and what to do.
    """
    if target.is_dir():
        raise ConfigError(f"{target} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent}; make it first")
    if target.exists() and not replace:
        raise ConfigError(f"{target} is there already; name another file, or say --force")
    for suffix in ("-wal", "-journal"):
        beside = target.with_name(target.name + suffix)
        if beside.exists():
            # SQLite would play it into the new file.
            raise ConfigError(
                f"{beside} belongs to another SQLite file of that name, which may be in use; "
                "name another file"
            )


def _make(replica: Path, work: Path, *, bookkeeping: bool) -> tuple[Path, Copied]:
    whole, plain = work / "whole.db", work / "plain.db"
    copy = Connection(str(whole))
    try:
        # Nothing to come back to after a crash: the file has no name yet.
        copy.pragma("synchronous", "OFF")
        _back_up(replica, copy)
        copy.pragma("journal_mode", "delete")
        tables = load_tables(copy)
        rows = {
            table.schema.name: scalar(copy, f"SELECT count(*) FROM {table.name}")
            for table in tables.values()
        }
        state = copy.execute("SELECT cluster, position FROM _cl_state").fetchone()
        cluster, position = state or ("", -1)
        if not bookkeeping:
            _drop_bookkeeping(copy)
            copy.execute("VACUUM INTO ?", (str(plain),))
    finally:
        copy.close()
    made = whole if bookkeeping else plain
    return made, Copied(cluster, position, rows, made.stat().st_size)


def _back_up(replica: Path, copy: Connection) -> None:
    source = open_reader(replica)
    try:
        source.execute("BEGIN")
        scalar(source, "SELECT count(*) FROM sqlite_schema")  # here the snapshot begins
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES_A_STEP)
    finally:
        source.close()


def _drop_bookkeeping(copy: Connection) -> None:
    ours = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 4) = '_cl_'"
    for (name,) in copy.execute(ours).fetchall():
        copy.execute(f"DROP TABLE {quote(str(name))}")
    # A node must not take this file for its replica.
    copy.pragma("user_version", 0)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(made: Path, target: Path, *, replace: bool) -> None:
    """Give the file its name; one that came there meanwhile is left alone without `replace`."""
    if replace:
        made.replace(target)
        return
    try:
        os.link(made, target)
    except FileExistsError:
        check_target(target, replace=False)
        raise
    except OSError:  # a file system without hard links
        check_target(target, replace=False)
        made.rename(target)
