"""The operator of a simulated cluster: what is done to the folder of a node that is down.

damage     its file is overwritten; the next start must say so
reset      its replica is deleted, as `clusterlite reset` does
restore    it gets a copy of another node's replica, as `clusterlite copy` makes it
flip       a bit of one row flips, which no start can see
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from clusterlite.replica import copy
from clusterlite.replica.folder import DataFolder
from clusterlite.testing.simulator.world import World

_GARBLED_BYTES: Final = 64
_SUFFIXES: Final = ("", "-wal", "-shm")


class PowerLost(Exception):
    """The machine went down while something was made on it."""


def reset(folder: Path) -> None:
    """Delete the replica."""
    replica = DataFolder(folder).replica
    for suffix in _SUFFIXES:
        replica.with_name(replica.name + suffix).unlink(missing_ok=True)


def damage(folder: Path) -> bool:
    """Overwrite where SQLite's file begins; False where there is none."""
    replica = DataFolder(folder).replica
    if not replica.exists():
        return False
    with replica.open("r+b") as file:
        file.write(b"\xa5" * _GARBLED_BYTES)
    return True


def restore(folder: Path, source: Path, world: World, dies: float) -> bool:
    """Give a folder a copy of another's replica in place of its own.

    Args:
        folder: of the node that is down.
        source: of another node, which may run.
        world: gives chance.
        dies: how often the power goes in the middle.

    Returns:
        Whether the copy was made.
    """
    replica = DataFolder(source).replica
    if not replica.exists():
        return False
    reset(folder)
    target = DataFolder(folder).replica
    sync = copy._sync
    if world.chance(dies):
        copy._sync = _dies
    try:
        copy.copy_replica(replica, target, bookkeeping=True, replace=True)
    except PowerLost:
        world.sometimes["power lost while a copy was made"] += 1
        return False
    finally:
        copy._sync = sync
    world.sometimes["restored from a copy of another node"] += 1
    return True


def _dies(path: Path) -> None:
    """The power goes before a file was synced: half of it is on the disk."""
    if path.is_file():
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    raise PowerLost


def flip(folder: Path, table: str, column: str, key: str) -> None:
    """Flip the lowest bit of a number in a row, behind SQLite's back as far as a node can tell."""
    connection = apsw.Connection(str(DataFolder(folder).replica))
    try:
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = "{column}" + 1 - 2 * ("{column}" & 1)'  # noqa: S608
            " WHERE id = ?",
            (key,),
        )
    finally:
        connection.close()
