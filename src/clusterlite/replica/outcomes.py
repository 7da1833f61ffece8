"""Outcomes as the replica stores them, and the window in which they are remembered.

The floor moves only at an applied record that reaches a multiple of 1,024, to the newest such
mark that is older than both the window's positions and its time. So it is the same on every
replica, however the log was cut into batches. Forgotten rows are deleted later, a few a batch:
what counts is a position at or above the floor, never the presence of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from clusterlite.core.outcome import REJECTED, Outcome, Result
from clusterlite.replica.database import Connection, scalar
from clusterlite.replica.state import State

PRUNED_A_BATCH: Final = 2_000

_encode = msgspec.json.Encoder().encode
_SELECT = "SELECT position, event_id, verdict, code, detail, fp FROM _cl_outcome"


def detail_of(outcome: Outcome) -> str | None:
    """What the `detail` column holds: the changes of an applied event, the reason of another."""
    if outcome.verdict == REJECTED:
        reason = {
            "field": outcome.field,
            "change": outcome.change or None,
            "version": outcome.version,
            "detail": outcome.detail,
        }
        reason = {name: value for name, value in reason.items() if value is not None}
        return _encode(reason).decode() if reason else None
    return _encode(outcome.results).decode() if outcome.results else None


def store_outcome(connection: Connection, outcome: Outcome, floor: int) -> bool:
    """Store one; replaces a forgotten one of the same event id that was not deleted yet.

    One that is remembered stays: a record that only bears the id of an earlier event, and is
    foreign or of a wrong shape, changes nothing about that event.

    Returns:
        False where an earlier one stays.
    """
    connection.execute(
        "INSERT INTO _cl_outcome VALUES (?,?,?,?,?,?) ON CONFLICT (event_id) DO UPDATE SET"
        " position = excluded.position, verdict = excluded.verdict, code = excluded.code,"
        " detail = excluded.detail, fp = excluded.fp WHERE position < ?",
        (
            outcome.position,
            outcome.event_id,
            outcome.verdict,
            outcome.code,
            detail_of(outcome),
            outcome.fp,
            floor,
        ),
    )
    return connection.changes() == 1


def find_outcome(connection: Connection, event_id: str, floor: int) -> Outcome | None:
    """The outcome of an event id, None where it has none at or above the floor."""
    row = connection.execute(f"{_SELECT} WHERE event_id = ?", (event_id,)).fetchone()
    return None if row is None or row[0] < floor else read_outcome(row)


def read_outcome(row: Sequence[object]) -> Outcome:
    """An outcome from a row of `_cl_outcome`."""
    position, event_id, verdict, code, detail, fp = row
    found = msgspec.json.decode(detail) if isinstance(detail, str) else None
    results: tuple[Result, ...] = ()
    reason: dict[str, object] = {}
    if isinstance(found, list):
        results = tuple(Result(*item) for item in found)
    elif isinstance(found, dict):
        reason = found
    return msgspec.convert(
        (
            position,
            event_id,
            verdict,
            code,
            reason.get("field"),
            reason.get("change", 0),
            reason.get("version"),
            reason.get("detail"),
            fp,
            results,
        ),
        Outcome,
    )


def move_floor(connection: Connection, state: State) -> None:
    """Move the floor, once the state has reached a mark."""
    floor = scalar(
        connection,
        "SELECT max(position) FROM _cl_mark WHERE position <= ? AND time_ms <= ?",
        (state.position - state.window_positions, state.time_ms - state.window_ms),
    )
    if floor is not None and floor > state.floor:
        state.floor = floor


def prune(connection: Connection, floor: int) -> None:
    """Delete a few forgotten outcomes."""
    connection.execute(
        "DELETE FROM _cl_outcome WHERE position < ? AND position <="
        " (SELECT min(position) FROM _cl_outcome) + ?",
        (floor, PRUNED_A_BATCH),
    )
