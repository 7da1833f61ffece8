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
from clusterlite.core.hashing import advance, record_hash
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
    """

    def __init__(self, table: PhysicalTable) -> None:
        self.table = table
        self.records: list[Record] = []
        self.events: list[Event] = []
        self._rows: list[tuple[Any, ...]] = []
        self._keys: set[str] = set()
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self.records)

    def take(self, record: Record, event: Event) -> bool:
        """Add a record; False where it does not fit, and must be judged by itself."""
        change = event.changes[0]
        if change.key in self._keys or event.id in self._ids:
            return False
        schema = self.table.schema
        if change.schema < schema.position or len(change.data) != len(schema.columns) + 1:
            return False
        get = change.data.get
        row: list[Any] = [change.key]
        try:
            for column in schema.columns:
                value = get(column.name)
                if value is None:
                    if column.required or column.name not in change.data:
                        return False
                    row.append(None)
                else:
                    row.append(column.kind.stored(value, column.scale))
        except Unconvertible:
            return False
        row.append(record.position)
        self._rows.append(tuple(row))
        self.records.append(record)
        self.events.append(event)
        self._keys.add(change.key)
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
        state.time_ms = max(state.time_ms, last.time_ms)
        self.table.written = last.position


def groupable(event: Event | None, state: State) -> bool:
    """Whether a record may be in a group, as far as its event alone tells."""
    return (
        event is not None
        and event.operation == "INSERT"
        and event.format == 1
        and event.problem is None
        and event.cluster == state.cluster
        and event.after >= state.floor
        and event.changes[0].condition is None
    )


def group_table(event: Event, tables: dict[str, PhysicalTable]) -> PhysicalTable | None:
    """The table of a groupable event, None where it must be judged by itself."""
    table = tables.get(fold(event.table))
    if table is None or not table.schema.declared or table.schema.code:
        return None
    return None if table.schema.refers_to_itself else table


def _execute(
    connection: Connection, statements: dict[int, str], rows: Sequence[tuple[Any, ...]]
) -> None:
    start = 0
    for size in GROUP_SIZES:
        while len(rows) - start >= size:
            bindings: list[Any] = []
            for row in rows[start : start + size]:
                bindings.extend(row)
            connection.execute(statements[size], bindings)
            start += size
