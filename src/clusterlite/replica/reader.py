"""Reads from a replica's file: one snapshot an answer, with that snapshot's own position (I8).

A reader owns one read-only connection and belongs to one thread. The node's embedded library
and every HTTP worker read through it; nothing here asks the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

import apsw

from clusterlite.core.names import fold
from clusterlite.core.outcome import Outcome
from clusterlite.core.schema import Table
from clusterlite.replica.database import Connection, open_reader, scalar
from clusterlite.replica.outcomes import find_outcome
from clusterlite.replica.tables import load_tables, quote

CLOCK_SKEW_MS: Final = 3_600_000
"""How far the clock of an id's maker may be from the log's."""


class Found(NamedTuple):
    """The answer to a read by key.

    Args:
        position: of the snapshot.
        version: of the row, None where it is absent.
        row: `(id, values in the selection's order…)`; empty where it is absent.
    """

    position: int
    version: int | None
    row: tuple[Any, ...]


class Page(NamedTuple):
    """The answer to a list.

    Args:
        rows: `(id, values in the selection's order…)` by id, in code point order.
        more: whether rows follow.
    """

    rows: list[tuple[Any, ...]]
    more: bool


class Fate(NamedTuple):
    """What this replica knows of an event id.

    Args:
        position: up to which it looked.
        floor: below it outcomes are forgotten.
        floor_ms: log time at the floor, 0 where nothing was forgotten yet.
        outcome: None where it has none.
    """

    position: int
    floor: int
    floor_ms: int
    outcome: Outcome | None

    def remembers(self, event_id: str) -> bool:
        """Whether an outcome of this id would still be there, had the event been applied.

        A UUIDv7 tells when it was made; of other ids nothing is known once the floor has moved.
        """
        if self.floor < 0:
            return True
        made = _uuid7_ms(event_id)
        return made is not None and made > self.floor_ms + CLOCK_SKEW_MS


class Selection:
    """Some columns of one table, with the statements that read them.

    Args:
        table: its name.
        columns: in the order in which values are wanted; all declared in the log.
    """

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        name = quote(table)
        self.folded = fold(table)
        picked = "".join(f", t.{quote(column)}" for column in columns)
        self.by_key = (
            f"SELECT (SELECT position FROM _cl_state), t._version, t.id{picked} FROM {name} t"
            " WHERE t.id = ?"
        )
        self.row = f"SELECT t._version{picked} FROM {name} t WHERE t.id = ?"
        self.by_range = f"SELECT t.id{picked} FROM {name} t WHERE t.id > ? ORDER BY t.id LIMIT ?"


class Reader:
    """Reads one generation of a replica.

    Args:
        path: of the replica's file, which must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: Connection = open_reader(path)
        self.holding = False

    def close(self) -> None:
        """Close the connection; idempotent."""
        self.holding = False
        self._connection.close()

    def get(self, selection: Selection, key: str) -> Found:
        """One row by key, in one statement and so in one snapshot."""
        row = self._connection.execute(selection.by_key, (key,)).fetchone()
        if row is None:
            with self.snapshot():  # no row carries the position: ask for both again
                position = self.position()
                row = self._connection.execute(selection.by_key, (key,)).fetchone()
            if row is None:
                return Found(position, None, ())
        return Found(row[0], row[1], row[2:])

    def row(self, selection: Selection, key: str) -> tuple[Any, ...] | None:
        """One row by key as `(version, values…)`, without the position that it was read at."""
        found: tuple[Any, ...] | None
        found = self._connection.execute(selection.row, (key,)).fetchone()
        return found

    def hold(self) -> None:
        """Let all reads until `release` see one snapshot, that of the next read.

        To enter a snapshot and to leave it takes longer than to read a row by key.
        """
        self.holding = True
        self._connection.execute("BEGIN")

    def release(self) -> None:
        """The next read sees what is newest; nothing where nothing is held."""
        if self.holding:
            self.holding = False
            try:
                self._connection.execute("COMMIT")
            except apsw.Error:
                # Nothing was written. Were it still open, no later read could begin.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def written(self, selection: Selection) -> tuple[int, int]:
        """The position of the snapshot, and that of the last event that wrote the table."""
        with self.snapshot():
            written = scalar(
                self._connection,
                "SELECT written FROM _cl_schema WHERE table_name = ?",
                (selection.folded,),
            )
            return self.position(), -1 if written is None else written

    def page(self, selection: Selection, after: str, limit: int) -> Page:
        """Rows whose id is greater than `after`, at most `limit`."""
        with self.rows(selection, after, limit + 1) as found:
            rows = list(found)
        return Page(rows[:limit], len(rows) > limit)

    @contextmanager
    def rows(
        self, selection: Selection, after: str, limit: int
    ) -> Iterator[Iterator[tuple[Any, ...]]]:
        """The same, one by one, for whoever may stop early; read within this tick."""
        cursor = self._connection.execute(selection.by_range, (after, limit))
        try:
            yield cursor
        finally:
            cursor.close()  # an open one would hold the snapshot

    def fate(self, event_id: str) -> Fate:
        """What became of an event."""
        with self.snapshot():
            row = self._connection.execute("SELECT position, floor FROM _cl_state").fetchone()
            position, floor = row if row is not None else (-1, -1)
            floor_ms = scalar(
                self._connection, "SELECT time_ms FROM _cl_mark WHERE position = ?", (floor,)
            )
            outcome = find_outcome(self._connection, event_id, floor)
            return Fate(position, floor, floor_ms or 0, outcome)

    def tables(self) -> dict[str, Table]:
        """Every table as the log declares it, by folded name."""
        with self.snapshot():
            return {name: table.schema for name, table in load_tables(self._connection).items()}

    def position(self) -> int:
        """Of the last record applied, -1 before any."""
        position = scalar(self._connection, "SELECT position FROM _cl_state")
        return -1 if position is None else int(position)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Hold one snapshot over several statements."""
        if self.holding:
            yield self._connection
            return
        self._connection.execute("BEGIN")
        try:
            yield self._connection
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")


def holds(table: Table | None, names: Sequence[str]) -> TypeGuard[Table]:
    """Whether the log declares the table with all these columns, so that it can be read."""
    if table is None or not table.declared:
        return False
    return {fold(name) for name in names} <= {fold(column.name) for column in table.columns}


def known_schema(table: Table, names: Sequence[str]) -> int:
    """The position of the declaration that a writer who knows `names` may say that it knew.

    Its events leave columns alone that are newer; so it must be older than any unknown one.
    """
    known = {fold(name) for name in names}
    unknown = [column.since for column in table.columns if fold(column.name) not in known]
    return min(unknown) - 1 if unknown else table.position


def _uuid7_ms(event_id: str) -> int | None:
    digits = event_id.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return int(digits[:12], 16)
    except ValueError:
        return None
