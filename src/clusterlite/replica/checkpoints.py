"""The checkpoints that a replica met, as it keeps them: node-local, beside the state.

They are written in the transaction of the record that brought them, so that no crash forgets
that a replica is disputed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from clusterlite.core.checkpoint import (
    AGREED,
    DISPUTED,
    PASSED,
    REFUTED,
    Checkpoint,
    judge,
    read_checkpoint,
)
from clusterlite.core.event import Event
from clusterlite.replica.database import Connection, scalar

KEPT: Final = 100
"""Checkpoints that a replica keeps: a log full of forged ones must not fill the disk."""


class Met(NamedTuple):
    """A checkpoint that a replica compared.

    Args:
        position: of its record.
        checkpoint: what it says.
        verdict: what the replica makes of it; never `passed`.
    """

    position: int
    checkpoint: Checkpoint
    verdict: str


def meet(connection: Connection, event: Event, position: int, derived: int) -> Met | None:
    """Compare a CHECKPOINT with the replica's own mark, and keep what was found.

    Args:
        connection: in the transaction that applies the event.
        event: the CHECKPOINT.
        position: its place.
        derived: see `core.checkpoint.judge`.

    Returns:
        None where there is nothing to compare.
    """
    checkpoint = read_checkpoint(event.data)
    if checkpoint is None:
        return None
    verdict = judge(checkpoint, own_hash(connection, checkpoint.mark), derived)
    if verdict == PASSED:
        return None
    connection.execute(
        "INSERT INTO _cl_checkpoint VALUES (?,?,?,?,?,?)", (position, *checkpoint, verdict)
    )
    _forget(connection)
    return Met(position, checkpoint, verdict)


def _forget(connection: Connection) -> None:
    """Keep the newest, and of what is beyond them the highest that is disputed or agreed."""
    connection.execute(
        "DELETE FROM _cl_checkpoint WHERE position <= "
        "(SELECT position FROM _cl_checkpoint ORDER BY position DESC LIMIT 1 OFFSET ?)"
        " AND position NOT IN (SELECT position FROM"
        " (SELECT position, max(mark) FROM _cl_checkpoint GROUP BY verdict))",
        (KEPT,),
    )


def settle(connection: Connection, mark: int) -> None:
    """What is disputed up to a mark was found to be wrong: this replica is right."""
    connection.execute(
        "UPDATE _cl_checkpoint SET verdict = ? WHERE verdict = ? AND mark <= ?",
        (REFUTED, DISPUTED, mark),
    )


def own_hash(connection: Connection, mark: int) -> bytes | None:
    """The running hash at a mark, None where the replica has none there."""
    found: bytes | None = scalar(
        connection, "SELECT hash FROM _cl_mark WHERE position = ?", (mark,)
    )
    return found


def disputed(connection: Connection) -> Met | None:
    """The open dispute with the highest mark, None where there is none."""
    row = connection.execute(
        "SELECT position, mark, hash, node, incarnation FROM _cl_checkpoint WHERE verdict = ?"
        " ORDER BY mark DESC LIMIT 1",
        (DISPUTED,),
    ).fetchone()
    return None if row is None else Met(row[0], Checkpoint(*row[1:]), DISPUTED)


def covered(connection: Connection) -> int:
    """The highest mark of which the log has a checkpoint that this replica agrees with, or 0."""
    found = scalar(connection, "SELECT max(mark) FROM _cl_checkpoint WHERE verdict = ?", (AGREED,))
    return 0 if found is None else int(found)
