"""Groups: consecutive INSERTs of one table in few statements, with the outcomes they would have.

Grouping must not change a verdict (rules 3). So a group holds only records that can be judged
without looking at rows: our own INSERTs without a precondition, of one declared table without
a reference to itself, with full rows of fitting types, and with keys and event ids pairwise
different. What remains to be judged (a key, a unique value, a reference, an event id that has
an outcome) raises in SQLite: then the group is rolled back and applied one by one.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

import msgspec

from clusterlite.core.event import Event
from clusterlite.core.fields import Unconvertible
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
        self.events: list[Event] = []
        self._spelled = spelled
        self._cluster = state.cluster
        self._floor = state.floor
        self._mark = state.position // MARK_EVERY
        self._takes = table.takes
        self._schema = table.schema.position
        self._rows: list[list[Any]] = []
        self._keys: set[str] = set()
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self.records)

    def take(self, record: Record, event: Event | None) -> bool:
        """Add the next record; False where it does not fit.

        No group goes over a mark: what is kept there is the hash of the record before it.
        """
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
        key, data, takes = change.key, change.data, self._takes
        if (
            key in self._keys
            or event.id in self._ids
            or change.schema < self._schema
            or len(data) != len(takes) + 1
            or change.condition is not None
        ):
            return False
        row: list[Any] = [key]
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
        row.append(record.position)
        self._rows.append(row)
        self.records.append(record)
        self.events.append(event)
        self._keys.add(key)
        self._ids.add(event.id)
        return True

    def insert(self, connection: Connection) -> None:
        """Write rows and outcomes.

        Raises:
            apsw.ConstraintError: one of them must be judged by itself.
        """
        _execute(connection, self.table.inserts, self._rows)
        name = self.table.schema.name
        _execute(
            connection,
            _OUTCOMES,
            [
                (
                    record.position,
                    event.id,
                    _encode((("INSERT", name, event.changes[0].key, True),)).decode(),
                    event.fp,
                )
                for record, event in zip(self.records, self.events, strict=True)
            ],
        )

    def advance(self, state: State, wanted: Container[str] | None, done: list[Applied]) -> None:
        """Carry position and hash over the group, and hand over what somebody waits for."""
        name = self.table.schema.name
        order = self.table.schema.sorted_names
        running = state.hash
        for record, event, row in zip(self.records, self.events, self._rows, strict=True):
            image = Row(name, row[0], {column: row[index + 1] for column, index in order})
            running = advance(running, record.position, event.id, APPLIED, None, (image,))
            if wanted is None or event.id in wanted:
                results = (Result("INSERT", name, row[0], True),)
                outcome = Outcome(record.position, event.id, APPLIED, fp=event.fp, results=results)
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
    connection: Connection, statements: dict[int, str], rows: Sequence[Sequence[Any]]
) -> None:
    start = 0
    for size in GROUP_SIZES:
        while len(rows) - start >= size:
            bindings: list[Any] = []
            for row in rows[start : start + size]:
                bindings.extend(row)
            connection.execute(statements[size], bindings)
            start += size
