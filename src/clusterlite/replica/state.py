"""What apply depends on besides rows, in memory and in the replica's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from clusterlite.core.hashing import ZERO
from clusterlite.log.base import Identity
from clusterlite.replica.database import Connection, unwritable
from clusterlite.replica.tables import PhysicalTable

WINDOW_POSITIONS: Final = 1_000_000
WINDOW_S: Final = 24 * 3600


@dataclass(slots=True)
class State:
    """The bookkeeping row; always that of the last record applied.

    Args:
        position: of that record, -1 before any.
        hash: running hash after it, 32 bytes.
        record_hash: of its bytes, 32 bytes.
        time_ms: the largest log time so far.
        cluster: cluster id, empty before GENESIS.
        level: apply level in force.
        window_positions: event ids are remembered for at least so many positions,
        window_ms: and for at least so long by log time.
        floor: outcomes below it are forgotten; only grows.
    """

    position: int = -1
    hash: bytes = ZERO
    record_hash: bytes = ZERO
    time_ms: int = 0
    cluster: str = ""
    level: int = 1
    window_positions: int = WINDOW_POSITIONS
    window_ms: int = WINDOW_S * 1000
    floor: int = -1


class Committed(NamedTuple):
    """What the replica's file holds after a commit: any thread may read it, it never changes.

    Args:
        position, hash, record_hash, cluster, level, window_positions, window_ms: see `State`.
        tables: every table by its folded name; another mapping once one of them changed.
    """

    position: int
    hash: bytes
    record_hash: bytes
    cluster: str
    level: int
    window_positions: int
    window_ms: int
    tables: Mapping[str, PhysicalTable]


_COLUMNS = "position,hash,record_hash,time_ms,cluster,level,window_positions,window_ms,floor"


def _values(state: State) -> tuple[int | str | bytes, ...]:
    """In the order of `_COLUMNS`."""
    return (
        state.position,
        state.hash,
        state.record_hash,
        state.time_ms,
        state.cluster,
        state.level,
        state.window_positions,
        state.window_ms,
        state.floor,
    )


def load_state(connection: Connection) -> State:
    """The state as the file has it; the state of an empty log for a new file."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM _cl_state").fetchone()
    return State() if row is None else State(*row)


def store_state(connection: Connection, state: State, before: int, incarnation: str) -> bool:
    """Store the state if the file is still where this writer left it.

    Args:
        connection: in a transaction.
        state: to store.
        before: the position that the file must have.
        incarnation: that the file must have.

    Returns:
        False where the file has another position or incarnation: another writer was here.
    """
    connection.execute(
        f"UPDATE _cl_state SET ({_COLUMNS}) = (?,?,?,?,?,?,?,?,?) WHERE position = ?"
        " AND (SELECT incarnation FROM _cl_node) = ?",
        (*_values(state), before, incarnation),
    )
    return connection.changes() == 1


def take_over(connection: Connection, node: str, incarnation: str) -> None:
    """Write this start's incarnation, so that a batch of any earlier one is refused.

    Raises:
        Halt: `replica_io` where the file cannot be written.
    """
    try:
        with connection:
            _take_over(connection, node, incarnation)
    except apsw.Error as error:
        raise unwritable(Path(connection.filename), error) from error


def _take_over(connection: Connection, node: str, incarnation: str) -> None:
    connection.execute(
        f"INSERT INTO _cl_state (one,{_COLUMNS}) VALUES (1,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT (one) DO NOTHING",
        _values(State()),
    )
    connection.execute(
        "INSERT INTO _cl_node VALUES (1,?,?,'','','',-1)"
        " ON CONFLICT (one) DO UPDATE SET node = excluded.node,"
        " incarnation = excluded.incarnation",
        (node, incarnation),
    )


def load_identity(connection: Connection) -> Identity | None:
    """The log that this replica follows, None before it followed one."""
    row = connection.execute("SELECT log_kind, log_id, log_home FROM _cl_node").fetchone()
    return None if row is None or not row[0] else Identity(*row)


def store_identity(connection: Connection, identity: Identity, confirmed: int) -> None:
    """Remember the log, and the last position at which it was recognised."""
    connection.execute(
        "UPDATE _cl_node SET (log_kind, log_id, log_home, confirmed) = (?,?,?,?)",
        (*identity, confirmed),
    )
