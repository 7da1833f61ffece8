"""The marks of a replica, derived again from the log in a scratch file.

It reads the log from its first record, beside the node and over a connection of its own, and
changes nothing but the scratch file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import Halt
from clusterlite.log.base import Look, Record
from clusterlite.replica.applier import Applier
from clusterlite.replica.compare import compare
from clusterlite.replica.database import open_reader, open_writer
from clusterlite.replica.pages import FilePages
from clusterlite.replica.reader import Reader
from clusterlite.replica.state import take_over

BATCH_MAX: Final = 1_000
FOUND_MAX: Final = 3
"""Differences that are named."""

_WAIT_S: Final = 0.5
_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")


class Derived(NamedTuple):
    """What the log gives, against what the replica has.

    Args:
        mark: up to which both were compared.
        equal: the highest mark at which they are equal before any difference, -1 for none.
        differs: the lowest mark at which they differ, None where there is none.
        first: the first position known to differ: one that wrote a row, or had an outcome, that
            differs still, else that mark.
        found: what differs, in words; some of it.
    """

    mark: int
    equal: int
    differs: int | None = None
    first: int | None = None
    found: tuple[str, ...] = ()


class _GivenUp(Exception):
    pass


def derive(
    look: Look,
    scratch: Path,
    replica: Path,
    registry: EntityRegistry,
    mark: int,
    given_up: Callable[[], bool],
) -> Derived | None:
    """Apply the log from zero up to a mark, and compare the marks on the way.

    Takes as long as a new node that reads so far, and as much disk as a replica of that position.

    Args:
        look: at the log; belongs to this call.
        scratch: a file that is made, and deleted in the end.
        replica: the file whose marks are compared.
        registry: operations that replace what happens at apply.
        mark: the last that is compared; the replica is beyond it.
        given_up: asked between batches.

    Returns:
        None where it was given up.

    Raises:
        Halt: the log does not begin at zero any more (`log_gap`), or cannot be applied.
        LogError: it cannot be read now.
        apsw.Error: the scratch file cannot be written.
    """
    first = look.bounds().first
    if first > 0:
        raise Halt(
            "log_gap",
            f"the log begins at {first}, so nothing can be derived from it again",
            "Wait for a CHECKPOINT of another node that agrees",
        )
    delete_scratch(scratch)
    connection = open_writer(scratch)
    try:
        # Nothing to come back to after a crash.
        connection.pragma("synchronous", "OFF")
        take_over(connection, "scratch", "scratch")
        applier = Applier(connection, "scratch", registry)
        following = 0
        while applier.committed.position < mark:
            if given_up():
                return None
            batch = look.read(following, BATCH_MAX, _WAIT_S)
            following = batch.next
            if batch.records:
                applier.apply(_up_to(batch.records, mark), ())
        return _compared(scratch, replica, mark, given_up)
    except _GivenUp:
        return None
    finally:
        connection.close()
        delete_scratch(scratch)


def _up_to(records: list[Record], mark: int) -> list[Record]:
    """Those that the mark takes: the last is at it, or beyond where the log has a hole there."""
    count = sum(record.position < mark for record in records)
    return records[: count + 1]


def _compared(scratch: Path, replica: Path, mark: int, given_up: Callable[[], bool]) -> Derived:
    right, own = _marks(scratch, mark), _marks(replica, mark)
    equal = -1
    for position in sorted(right.keys() | own.keys()):
        if right.get(position) != own.get(position):
            first, found = _parted(scratch, replica, equal, position, given_up)
            return Derived(mark, equal, position, first, found)
        equal = position
    return Derived(mark, equal)


def _parted(
    scratch: Path, replica: Path, equal: int, differs: int, given_up: Callable[[], bool]
) -> tuple[int, tuple[str, ...]]:
    """What differs, and the first position of it between two marks."""

    def go_on() -> None:
        if given_up():
            raise _GivenUp

    try:
        with closing(Reader(scratch)) as right, closing(Reader(replica)) as own:
            compared = compare(FilePages(right, go_on), FilePages(own))
    except _GivenUp:
        raise
    except Exception:  # noqa: BLE001 - it is known to differ; a damaged file may tell no more
        return differs, ()
    first = differs if compared.first is None else min(compared.first, differs)
    found = tuple(difference.what for difference in compared.differences[:FOUND_MAX])
    return (first if first > equal else differs), found


def _marks(path: Path, last: int) -> dict[int, bytes]:
    connection = open_reader(path)
    try:
        return dict(
            connection.execute("SELECT position, hash FROM _cl_mark WHERE position <= ?", (last,))
        )
    finally:
        connection.close()


def delete_scratch(scratch: Path) -> None:
    """Delete the file, and what SQLite keeps beside it; nothing where there is none."""
    for suffix in _SUFFIXES:
        scratch.with_name(scratch.name + suffix).unlink(missing_ok=True)
