"""Groups: consecutive INSERTs of one table in few statements, with the outcomes they would have.

Grouping must not change a verdict. So a group holds only records that can be judged
without looking at rows: our own INSERTs without a precondition, of one declared table without
a reference to itself, with full rows of fitting types. What remains to be judged (a key, a
unique value, a reference, an event id that has an outcome) raises in SQLite: then the group is
rolled back and applied one by one.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

import msgspec

from clusterlite.core.event import Event
from clusterlite.core.fields import Stored, Unconvertible
from clusterlite.core.hashing import MARK_EVERY, advance, record_hash
from clusterlite.core.names import fold
from clusterlite.core.outcome import APPLIED, Applied, Outcome, Result, Row
from clusterlite.log.base import Record
from clusterlite.replica.database import Connection
from clusterlite.replica.state import State
from clusterlite.replica.tables import GROUP_SIZES, PhysicalTable

_encode = msgspec.json.Encoder().encode

_OUTCOME_ROW: Final = "(?,?,'applied',NULL,?,?)"
_OUTCOMES: Final = {
    size: f"INSERT INTO _cl_outcome VALUES {','.join([_OUTCOME_ROW] * size)}"
    for size in GROUP_SIZES
}


class InsertGroup:
    """Consecutive records that insert rows into one table.

    Args:
        table: that they all write.
        spelled: its name as the events spell it.
        state: before the first of them.
    """

    def __init__(self, table: PhysicalTable, spelled: str, state: State) -> None:
        self.table = table
        self.records: list[Record] = []
        self._read = table.insert_reader.read
        self._spelled = spelled
        self._cluster = state.cluster or None  # before a GENESIS no event is of any
        self._floor = state.floor
        self._mark = state.position // MARK_EVERY
        self._takes = table.takes
        self._schema = table.schema.position
        self._rows: list[tuple[Stored, ...]] = []
        self._ids: list[str] = []
        self._fps: list[str] = []

    def __len__(self) -> int:
        return len(self.records)

    def take_spelled(self, record: Record) -> bool:
        """Add the next record; False where it does not fit, or must be read in full to say so.

        No group goes over a mark: what is kept there is the hash of the record before it.
        """
        found = self._read(record.value)
        if found is None:
            return False
        insert, row = found
        if (
            insert.cluster != self._cluster
            or insert.after < self._floor
            or insert.schema < self._schema
            or record.position // MARK_EVERY != self._mark
        ):
            return False
        self._add(record, insert.id, insert.fp, row)
        return True

    def take(self, record: Record, event: Event | None) -> bool:
        """Add the next record, which was read in full; False where it does not fit."""
        if (
            event is None
            or event.operation != "INSERT"
            or event.table != self._spelled
            or event.format != 1
            or event.problem is not None
            or event.cluster != self._cluster
            or event.after < self._floor
            or record.position // MARK_EVERY != self._mark
        ):
            return False
        change = event.changes[0]
        data, takes = change.data, self._takes
        if (
            change.schema < self._schema
            or len(data) != len(takes) + 1
            or change.condition is not None
        ):
            return False
        row: list[Stored] = [change.key]
        try:
            for name, stored, scale, required in takes:
                value = data[name]
                if value is not None:
                    value = stored(value, scale)
                elif required:
                    return False
                row.append(value)
        except (KeyError, Unconvertible):
            return False
        self._add(record, event.id, event.fp, tuple(row))
        return True

    def _add(self, record: Record, event_id: str, fp: str, row: tuple[Stored, ...]) -> None:
        self.records.append(record)
        self._ids.append(event_id)
        self._fps.append(fp)
        self._rows.append(row)

    def insert(self, connection: Connection) -> None:
        """Write rows and outcomes.

        Raises:
            apsw.ConstraintError: one of them must be judged by itself.
        """
        positions = [record.position for record in self.records]
        _execute(
            connection,
            self.table.inserts,
            [(*row, position) for row, position in zip(self._rows, positions, strict=True)],
        )
        name = self.table.schema.name
        details = [_encode((("INSERT", name, row[0], True),)).decode() for row in self._rows]
        _execute(
            connection,
            _OUTCOMES,
            list(zip(positions, self._ids, details, self._fps, strict=True)),
        )

    def advance(self, state: State, wanted: Container[str] | None, done: list[Applied]) -> None:
        """Carry position and hash over the group, and hand over what somebody waits for."""
        name = self.table.schema.name
        order = [(column, index + 1) for column, index in self.table.schema.sorted_names]
        running = state.hash
        for record, event_id, fp, row in zip(
            self.records, self._ids, self._fps, self._rows, strict=True
        ):
            image = Row(name, str(row[0]), {column: row[index] for column, index in order})
            running = advance(running, record.position, event_id, APPLIED, None, (image,))
            if wanted is None or event_id in wanted:
                results = (Result("INSERT", name, image.key, True),)
                outcome = Outcome(record.position, event_id, APPLIED, fp=fp, results=results)
                done.append(Applied(outcome, (image,)))
        last = self.records[-1]
        state.hash = running
        state.position = last.position
        state.record_hash = record_hash(last.value)
        state.time_ms = max(state.time_ms, *(record.time_ms for record in self.records))
        self.table.written = last.position


def begin_group(
    record: Record, event: Event | None, state: State, tables: dict[str, PhysicalTable]
) -> InsertGroup | None:
    """A group that this record begins, None where it must be judged by itself."""
    if event is None:
        return None
    table = tables.get(fold(event.table))
    if table is None or not table.schema.declared or table.schema.code:
        return None
    if table.schema.refers_to_itself:
        return None
    group = InsertGroup(table, event.table, state)
    return group if group.take(record, event) else None


def _execute(
    connection: Connection, statements: dict[int, str], rows: Sequence[Sequence[Stored]]
) -> None:
    start = 0
    for size in GROUP_SIZES:
        while len(rows) - start >= size:
            bindings: list[Stored] = []
            for row in rows[start : start + size]:
                bindings.extend(row)
            connection.execute(statements[size], bindings)
            start += size
