"""The model: the log replayed through plain dicts, by the rules as the documents give them.

    model = Model()
    for record in log:
        model.feed(record)
    model.outcomes["0192…"], model.row("users", "a"), model.at("users", "a", 4711)

It applies one record at a time, keeps every row that ever was, and knows nothing of SQLite,
batches or files. Tables that are applied by code of their own it does not know.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from clusterlite.testing.history.records import (
    Change,
    Event,
    LogRecord,
    fold,
    is_name,
    read,
)
from clusterlite.testing.history.tables import (
    COLUMNS_MAX,
    Cell,
    Column,
    Refused,
    Table,
    Tables,
    Unmodelled,
    declare,
)
from clusterlite.testing.history.values import Misfit, merged

FORMAT: Final = 1
LEVEL: Final = 1
MARK_EVERY: Final = 1024
"""Positions at whose multiples the window's floor may move."""


class Outcome(NamedTuple):
    """The verdict on a record.

    Args:
        position: of the record.
        event: its id.
        verdict: `applied`, `rejected`, `never` or `duplicate`.
        code: why it was rejected.
        change: index of the change that was refused.
        version: of the row as it was found, where a precondition failed.
        written: each row that it left behind, None where it removed one, by table and key.
    """

    position: int
    event: str
    verdict: str
    code: str | None = None
    change: int = 0
    version: int | None = None
    written: tuple[tuple[str, str, Cell | None], ...] = ()


class Model:
    """State after the records that were fed.

    `outcomes` holds each event id's first outcome, `records` what was given to each position.
    An id that comes again once it is forgotten is judged anew; whoever asked first was told the
    first outcome.
    """

    def __init__(self, records: Iterable[LogRecord] = ()) -> None:
        self.position = -1
        self.cluster = ""
        self.tables: Tables = {}
        self.outcomes: dict[str, Outcome] = {}
        self._newest: dict[str, Outcome] = {}
        self.records: dict[int, tuple[Event | None, Outcome]] = {}
        self.floor = -1
        self._window_positions = 1_000_000
        self._window_ms = 24 * 3_600_000
        self._time_ms = 0
        self._marks: list[tuple[int, int]] = []
        self._past: defaultdict[tuple[str, str], list[tuple[int, Cell | None]]] = defaultdict(list)
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        for record in records:
            self.feed(record)

    # Reading.

    def row(self, table: str, key: str) -> Cell | None:
        """A row as it is now, None where it is absent."""
        found = self.tables.get(fold(table))
        return None if found is None else found.cells.get(key)

    def at(self, table: str, key: str, position: int) -> Cell | None:
        """A row as it was once a position had been applied."""
        past = self._past.get((fold(table), key), [])
        index = bisect_right(past, position, key=lambda entry: entry[0])
        return past[index - 1][1] if index else None

    def keys(self, table: str) -> list[str]:
        """The keys that ever were in a table, in order."""
        return sorted(self._keys.get(fold(table), ()))

    # Feeding.

    def feed(self, record: LogRecord) -> Outcome:
        """Apply one record.

        Raises:
            Unmodelled: it asks for what this model does not know.
            ValueError: it does not stand behind the last one.
        """
        if record.position <= self.position:
            raise ValueError(f"position {record.position} comes after {self.position}")
        event = read(record)
        outcome = self._judge(record.position, event)
        self.records[record.position] = (event, outcome)
        known = self._newest.get(outcome.event)
        if (event is None or event.operation != "BARRIER") and not self._remembered(known):
            self._newest[outcome.event] = outcome
            self.outcomes.setdefault(outcome.event, outcome)
        for table, key, cell in outcome.written:
            name = fold(table)
            self._past[name, key].append((record.position, cell))
            self._keys[name].add(key)
        self._advance(record)
        return outcome

    def _remembered(self, outcome: Outcome | None) -> bool:
        return outcome is not None and outcome.position >= self.floor

    def _advance(self, record: LogRecord) -> None:
        """Move the position, and the floor where a mark is reached."""
        before, self.position = self.position, record.position
        mark = self.position - self.position % MARK_EVERY
        reached = mark > before
        if reached and mark < self.position:
            self._marks.append((mark, self._time_ms))
        self._time_ms = max(self._time_ms, record.time_ms)
        if reached and mark == self.position:
            self._marks.append((mark, self._time_ms))
        if reached:
            old = (self.position - self._window_positions, self._time_ms - self._window_ms)
            passed = [at for at, time_ms in self._marks if at <= old[0] and time_ms <= old[1]]
            self.floor = max([self.floor, *passed])

    def _judge(self, position: int, event: Event | None) -> Outcome:
        if event is None:
            return Outcome(position, f"@{position}", "rejected", "unreadable")
        code = self._judge_envelope(position, event)
        if code is not None:
            return Outcome(position, event.id, "rejected", code)
        if event.operation == "BARRIER":
            return Outcome(position, event.id, "applied")
        if self._remembered(self._newest.get(event.id)):
            return Outcome(position, event.id, "duplicate")
        if event.ours and event.envelope["after"] < self.floor:
            return Outcome(position, event.id, "rejected", "expired")
        if event.operation == "FENCE":
            return Outcome(position, event.id, "never")
        return self._apply(position, event)

    def _judge_envelope(self, position: int, event: Event) -> str | None:
        spelled = event.envelope
        if event.ours and event.cluster is None:
            return "foreign"
        if (
            event.cluster is not None
            and not (event.cluster == self.cluster != "")
            and event.operation != "GENESIS"
        ):
            return "foreign"
        number = spelled.get("format")
        if event.ours and type(number) is int and number > FORMAT:
            if event.cluster != self.cluster:
                return "foreign"
            raise Unmodelled(f"position {position}: format {number}")
        return None if event.valid else "invalid"

    def _apply(self, position: int, event: Event) -> Outcome:
        if event.operation in {"GENESIS", "SETTINGS"}:
            self._set(position, event)
            return Outcome(position, event.id, "applied")
        step = _Step(self.tables, position, ours=event.ours)
        try:
            if event.operation == "SCHEMA":
                step.declare(event.data)
            elif event.operation != "CHECKPOINT":
                step.change(event.changes)
        except Refused as refused:
            step.undo()
            code, version = refused.code, refused.version
            return Outcome(position, event.id, "rejected", code, step.index, version)
        return Outcome(position, event.id, "applied", written=tuple(step.written))

    def _set(self, position: int, event: Event) -> None:
        data = event.data
        if event.operation == "GENESIS":
            if self.cluster:
                return
            self.cluster = str(event.cluster)
        if data.get("level", 0) > LEVEL:
            raise Unmodelled(f"position {position}: apply level {data['level']}")
        if event.operation == "SETTINGS":
            self.cluster = data.get("cluster", self.cluster)
        self._window_positions = data.get("window_positions", self._window_positions)
        self._window_ms = data.get("window_s", self._window_ms // 1000) * 1000


class _Step:
    """One event applied to the tables: all of it, or after `undo` nothing.

    Args:
        tables: changed in place.
        position: becomes the version of what is written.
        ours: judged as an event of a node, and not of another program.
    """

    def __init__(self, tables: Tables, position: int, *, ours: bool) -> None:
        self._tables = tables
        self._position = position
        self._ours = ours
        self._before: list[tuple[Table, str, Cell | None]] = []
        self.index = 0
        self.written: list[tuple[str, str, Cell | None]] = []

    def undo(self) -> None:
        """Put every row back."""
        for table, key, cell in reversed(self._before):
            table.put(key, cell)

    def declare(self, declaration: dict[str, Any]) -> None:
        """SCHEMA."""
        table = declare(self._tables, declaration, self._position)
        if table is not None:
            self._tables[fold(table.name)] = table
            self.written += [(table.name, key, cell) for key, cell in table.cells.items()]

    def change(self, changes: tuple[Change, ...]) -> None:
        """Every precondition against the state before the first change, then the changes."""
        for self.index, change in enumerate(changes):
            self._check_condition(change)
        for self.index, change in enumerate(changes):
            self._apply(change)

    def _check_condition(self, change: Change) -> None:
        wanted = change.condition
        if wanted is None:
            return
        cell = self._declared(change).cells.get(change.key)
        version = None if cell is None else cell.version
        if "version" in wanted:
            holds = version == wanted["version"]
        else:
            holds = (version is not None) == ("present" in wanted)
        if not holds:
            raise Refused("precondition_failed", version)

    def _declared(self, change: Change) -> Table:
        table = self._tables.get(change.table)
        if table is None or not table.declared:
            raise Refused("unknown_table")
        return table

    def _apply(self, change: Change) -> None:
        table = self._declared(change) if self._ours else self._grown(change)
        if change.operation == "ASSERT":
            return
        found = table.cells.get(change.key)
        if self._ours and change.operation == "INSERT" and found is not None:
            raise Refused("exists", found.version)
        if self._ours and change.operation in {"PATCH", "DELETE"} and found is None:
            raise Refused("not_found")
        if change.operation == "DELETE":
            if found is not None:
                self._judge_referrers(table, change.key)
                self._write(table, change.key, None)
            return
        row = self._row(table, change, found)
        self._judge_constraints(table, change.key, row)
        self._write(table, change.key, Cell(row, self._position))

    def _write(self, table: Table, key: str, cell: Cell | None) -> None:
        self._before.append((table, key, table.cells.get(key)))
        table.put(key, cell)
        self.written.append((table.name, key, cell))

    def _grown(self, change: Change) -> Table:
        """The table of an event without a format: made or extended where nobody declared it."""
        names = [name for name in change.data if name != "id"]
        folded = {fold(name) for name in names}
        if len(folded) != len(names) or "id" in folded or not all(map(is_name, names)):
            raise Refused("invalid")
        table = self._tables.get(change.table)
        if table is not None and table.declared:
            return table
        columns = {} if table is None else table.columns
        new = [] if change.operation == "DELETE" else [n for n in names if fold(n) not in columns]
        if len(columns) + len(new) > COLUMNS_MAX:
            raise Refused("invalid")
        columns = columns | {fold(name): Column(name, "any") for name in new}
        if table is None:
            table = Table(change.table, columns, declared=False)
            self._tables[change.table] = table
        elif new:
            table.columns = columns
            for key, cell in table.cells.items():
                table.cells[key] = Cell(cell.row | dict.fromkeys(new), cell.version)
                self.written.append((table.name, key, table.cells[key]))
        return table

    def _row(self, table: Table, change: Change, found: Cell | None) -> dict[str, Any]:
        """What the change leaves behind."""
        given = {fold(name): value for name, value in change.data.items() if name != "id"}
        if self._ours and len(given) != len(change.data) - 1:
            raise Refused("invalid")
        patch = change.operation == "PATCH"
        row: dict[str, Any] = {"id": change.key}
        for name, column in table.columns.items():
            old = None if found is None else found.row[column.name]
            late = self._ours and column.since > change.schema and found is not None
            if name not in given:
                row[column.name] = old if patch or late else column.takes(column.default)
                continue
            value = given[name]
            if patch and column.kind == "json" and isinstance(value, dict):
                value = merged(old, value)
            try:
                row[column.name] = column.takes(value)
            except Misfit:
                raise Refused("datatype") from None
        if self._ours and not given.keys() <= table.columns.keys():
            raise Refused("invalid")
        for name, column in table.columns.items():
            if column.required and row[column.name] is None:
                raise Refused("not_null" if name in given else "invalid")
        return row

    def _judge_constraints(self, table: Table, key: str, row: dict[str, Any]) -> None:
        columns = table.columns.values()
        for column in columns:
            value = row[column.name]
            if column.unique and value is not None and table.having(column.name, value) - {key}:
                raise Refused("unique")
        for column in columns:
            value = row[column.name]
            if column.references is None or value is None:
                continue
            target = self._tables[fold(column.references)]
            if value not in target.cells and (target is not table or value != key):
                raise Refused("foreign_key")

    def _judge_referrers(self, table: Table, key: str) -> None:
        for other in self._tables.values():
            for column in other.columns.values():
                if column.references is None or fold(column.references) != fold(table.name):
                    continue
                if other.having(column.name, key) - ({key} if other is table else set()):
                    raise Refused("foreign_key")
