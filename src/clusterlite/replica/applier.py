"""The applier: a pure fold of the log into the replica, a batch in one transaction.

Invariants:
1. One thread owns the only write connection. Rows, outcomes, marks, hash and position of a
   batch are committed together or not at all (I1, I3, I9).
2. The outcome of a record is that of applying it alone; grouping never changes it (I4).
3. Before a commit the file must still be where this start left it (two writers: refused).
4. A record that cannot be passed halts with everything before it committed. Nothing is skipped.

A record is judged in this order:

    unreadable -> foreign -> too_new (halt) -> invalid -> duplicate -> expired -> its operation
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

import apsw

from clusterlite.core import codec
from clusterlite.core.event import FORMAT, LEVEL, Event
from clusterlite.core.hashing import advance, mark_between, record_hash
from clusterlite.core.names import fold
from clusterlite.core.outcome import (
    APPLIED,
    DUPLICATE,
    NEVER,
    REJECTED,
    Applied,
    Outcome,
    Result,
    Row,
)
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import Halt
from clusterlite.log.base import Record
from clusterlite.replica.changes import Changes, Rejection
from clusterlite.replica.checkpoints import Met, meet, settle
from clusterlite.replica.database import BUSY_TIMEOUT_MS, Connection
from clusterlite.replica.declare import declare
from clusterlite.replica.groups import InsertGroup, begin_group
from clusterlite.replica.outcomes import find_outcome, move_floor, prune, store_outcome
from clusterlite.replica.state import Committed, State, load_state, store_state
from clusterlite.replica.tables import PhysicalTable, load_tables
from clusterlite.replica.wal import Wal

Handled = tuple[tuple[Result, ...], tuple[Row, ...]]

_NOTHING: Final[Handled] = ((), ())


class Applier:
    """Applies records to a replica.

    `state` and `tables` run ahead of the file inside `apply`; `committed` never does, and is
    what other threads read.

    Args:
        connection: the replica's only writer; used from one thread.
        incarnation: this start's, as `state.take_over` wrote it.
        registry: operations that replace what happens at apply are taken from it.
    """

    def __init__(
        self, connection: Connection, incarnation: str, registry: EntityRegistry | None = None
    ) -> None:
        self.wal = Wal(connection, BUSY_TIMEOUT_MS)
        self._connection = connection
        self._incarnation = incarnation
        self._code = {
            fold(operations.table_name): operations
            for operations in registry or ()
            if operations.create_table().code is not None
        }
        self._operations: dict[str, Callable[[Event, int], Handled]] = {
            "INSERT": self._change,
            "UPDATE": self._change,
            "PATCH": self._change,
            "DELETE": self._change,
            "TRANSACTION": self._transaction,
            "SCHEMA": self._schema,
            "GENESIS": self._genesis,
            "SETTINGS": self._settings,
            "CHECKPOINT": self._checkpoint,
        }
        self.met: list[Met] = []
        """The checkpoints that the last batch compared."""
        self.derived = -1
        """Marks up to this one were derived again from the log, and are right."""
        self._settled: int | None = None
        self._load()

    def settle(self, mark: int) -> None:
        """Disputes up to a mark are over, in favour of this replica; noted with the next batch."""
        self._settled = mark

    def _load(self) -> None:
        self.state: State = load_state(self._connection)
        self.tables = load_tables(self._connection)
        self._changes = Changes(self._connection, self.tables, self._code)
        for table in self.tables.values():
            self._require_code(table.schema.name, table.schema.code)
        self.committed = self._commit_of(dict(self.tables))

    def _commit_of(self, tables: Mapping[str, PhysicalTable]) -> Committed:
        state = self.state
        return Committed(
            state.position,
            state.hash,
            state.record_hash,
            state.cluster,
            state.level,
            state.window_positions,
            state.window_ms,
            tables,
        )

    def apply(
        self, records: Sequence[Record], wanted: Container[str] | None = None
    ) -> list[Applied]:
        """Apply a batch in one transaction.

        Args:
            records: in order, all beyond the state's position.
            wanted: event ids whose outcomes are handed over; None for all.

        Returns:
            The wanted outcomes with the images they wrote, in order.

        Raises:
            Halt: a record cannot be passed, or another writer was here. What stands before the
                record is committed.
            apsw.Error: the environment failed; nothing of the batch is committed.
        """
        done: list[Applied] = []
        self.met = []
        settled = self._settled
        before = self.state.position
        written = {name: table.written for name, table in self.tables.items()}
        halt: Halt | None = None
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            try:
                self._apply_all(records, wanted, done)
            except Halt as error:
                halt = error
            self._finish(before, written)
            if settled is not None:
                settle(self._connection, settled)
            self._connection.execute("COMMIT")
        except BaseException:
            # FULL and its like have ended the transaction already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self.met = []
            self._load()
            raise
        if self._settled == settled:  # else it was set while this batch was applied
            self._settled = None
        tables = self.committed.tables
        self.committed = self._commit_of(tables if tables == self.tables else dict(self.tables))
        if halt is not None:
            raise HaltedBatch(halt, done)
        return done

    def _apply_all(
        self, records: Sequence[Record], wanted: Container[str] | None, done: list[Applied]
    ) -> None:
        group: InsertGroup | None = None
        previous = self.state.position
        for record in records:
            if record.position <= previous:
                raise Halt(
                    "log_rewound",
                    f"the log gave position {record.position} after {previous}",
                    "Check whether the log was replaced by an older copy",
                )
            previous = record.position
            if group is not None and group.take_spelled(record):
                continue
            event = codec.decode(record.value, record.position)
            if group is not None:
                if group.take(record, event):
                    continue
                self._close(group, wanted, done)
            group = begin_group(record, event, self.state, self.tables)
            if group is None:
                self._apply_one(record, event, wanted, done)
        self._close(group, wanted, done)

    def _close(
        self, group: InsertGroup | None, wanted: Container[str] | None, done: list[Applied]
    ) -> None:
        """Apply a gathered group: as one, or one by one where SQLite refuses any of it."""
        if group is None:
            return
        self._connection.execute("SAVEPOINT grouped")
        try:
            group.insert(self._connection)
        except apsw.ConstraintError:
            self._connection.execute("ROLLBACK TO grouped")
        else:
            self._connection.execute("RELEASE grouped")
            group.advance(self.state, wanted, done)
            return
        self._connection.execute("RELEASE grouped")
        for record in group.records:
            self._apply_one(record, codec.decode(record.value, record.position), wanted, done)

    def _apply_one(
        self,
        record: Record,
        event: Event | None,
        wanted: Container[str] | None,
        done: list[Applied],
    ) -> None:
        outcome, rows = self._judge(record, event)
        state = self.state
        floor = state.floor
        stands = outcome.verdict != DUPLICATE and (
            (event is not None and event.operation == "BARRIER")
            or store_outcome(self._connection, outcome, floor)
        )
        mark = mark_between(state.position, record.position)
        if mark is not None and mark < record.position:
            self._keep_mark(mark)
        state.hash = advance(
            state.hash, record.position, outcome.event_id, outcome.verdict, outcome.code, rows
        )
        state.position = record.position
        state.time_ms = max(state.time_ms, record.time_ms)
        state.record_hash = record_hash(record.value)
        if mark is not None:
            if mark == record.position:
                self._keep_mark(mark)
            move_floor(self._connection, state)
        for row in rows:
            table = self.tables.get(fold(row.table))
            if table is not None:
                table.written = record.position
        if wanted is None or outcome.event_id in wanted:
            # Whoever waits is told the outcome that the event id had already.
            earlier = None if stands else find_outcome(self._connection, outcome.event_id, floor)
            done.append(Applied(earlier or outcome, rows, repeated=earlier is not None))

    def _keep_mark(self, position: int) -> None:
        self._connection.execute(
            "INSERT INTO _cl_mark VALUES (?,?,?) ON CONFLICT (position) DO NOTHING",
            (position, self.state.hash, self.state.time_ms),
        )

    def _judge(self, record: Record, event: Event | None) -> tuple[Outcome, tuple[Row, ...]]:
        position = record.position
        if event is None:
            return Outcome(position, f"@{position}", REJECTED, "unreadable"), ()
        code = self._judge_envelope(event, position)
        if code is not None:
            return Outcome(position, event.id, REJECTED, code, fp=event.fp), ()
        if event.operation == "BARRIER":
            return Outcome(position, event.id, APPLIED), ()
        if find_outcome(self._connection, event.id, self.state.floor) is not None:
            return Outcome(position, event.id, DUPLICATE), ()
        if event.ours and event.after < self.state.floor:
            return Outcome(position, event.id, REJECTED, "expired", fp=event.fp), ()
        if event.operation == "FENCE":
            return Outcome(position, event.id, NEVER), ()
        return self._apply_operation(event, position)

    def _judge_envelope(self, event: Event, position: int) -> str | None:
        # Before a GENESIS there is no cluster whose event it could be, not even the empty one.
        ours = event.cluster == self.state.cluster != ""
        if event.cluster is not None and not ours and event.operation != "GENESIS":
            return "foreign"
        if event.format is not None and event.cluster is None:
            return "foreign"
        if event.format is not None and type(event.format) is int and event.format > FORMAT:
            if ours:
                raise _too_new(position, f"format {event.format}, this build knows {FORMAT}")
            return "foreign"
        return "invalid" if event.problem is not None else None

    def _apply_operation(self, event: Event, position: int) -> tuple[Outcome, tuple[Row, ...]]:
        self._connection.execute("SAVEPOINT one")
        try:
            results, rows = self._operations[event.operation](event, position)
        except Rejection as rejection:
            self._connection.execute("ROLLBACK TO one")
            outcome = Outcome(
                position,
                event.id,
                REJECTED,
                rejection.code,
                rejection.field,
                rejection.change,
                rejection.version,
                rejection.detail,
                event.fp,
            )
            rows = ()
            self._reload_undeclared(event)
        except Halt:
            self._connection.execute("ROLLBACK TO one")
            self._reload_undeclared(event)
            raise
        else:
            outcome = Outcome(position, event.id, APPLIED, fp=event.fp, results=results)
        self._connection.execute("RELEASE one")
        return outcome, rows

    def _reload_undeclared(self, event: Event) -> None:
        """A rejected event may have made or extended an undeclared table: that is undone too."""
        if not event.ours or event.operation == "SCHEMA":
            written = {name: table.written for name, table in self.tables.items()}
            self.tables.clear()
            self.tables.update(load_tables(self._connection))
            for name, table in self.tables.items():
                table.written = written.get(name, table.written)

    def _change(self, event: Event, position: int) -> Handled:
        change = event.changes[0]
        self._changes.check_condition(change)
        result, rows = self._changes.apply(change, position, ours=event.ours)
        return (result,), tuple(rows)

    def _transaction(self, event: Event, position: int) -> Handled:
        """All or none; every precondition is judged against the state before the first change."""
        results: list[Result] = []
        images: list[Row] = []
        index = 0
        try:
            while index < len(event.changes):
                self._changes.check_condition(event.changes[index])
                index += 1
            index = 0
            while index < len(event.changes):
                result, rows = self._changes.apply(event.changes[index], position, ours=True)
                results.append(result)
                images.extend(rows)
                index += 1
        except Rejection as rejection:
            rejection.change = index
            raise
        return tuple(results), tuple(images)

    def _schema(self, event: Event, position: int) -> Handled:
        rows = declare(self._connection, self.tables, event.data, position)
        schema = self.tables[fold(event.table)].schema
        self._require_code(schema.name, schema.code)
        return _NOTHING[0], tuple(rows)

    def _require_code(self, table: str, code: Any) -> None:
        if code is None:
            return
        operations = self._code.get(fold(table))
        declared = None if operations is None else operations.create_table().code
        if declared != code:
            raise _too_new(
                self.state.position + 1,
                f"table {table} is applied by {code.name} version {code.version}, which is not "
                "registered here",
            )

    def _genesis(self, event: Event, position: int) -> Handled:
        if self.state.cluster:
            return _NOTHING
        return self._set(event.data, position, event.cluster or "")

    def _settings(self, event: Event, position: int) -> Handled:
        return self._set(event.data, position, event.data.get("cluster", self.state.cluster))

    def _set(self, data: dict[str, Any], position: int, cluster: str) -> Handled:
        state = self.state
        if data.get("level", 0) > LEVEL:
            raise _too_new(position, f"apply level {data['level']}, this build knows {LEVEL}")
        state.cluster = cluster
        state.level = max(state.level, data.get("level", 1))
        state.window_positions = data.get("window_positions", state.window_positions)
        state.window_ms = data["window_s"] * 1000 if "window_s" in data else state.window_ms
        image: dict[str, Any] = {
            "cluster": state.cluster,
            "level": state.level,
            "window_ms": state.window_ms,
            "window_positions": state.window_positions,
        }
        return _NOTHING[0], (Row("", "settings", image),)

    def _checkpoint(self, event: Event, position: int) -> Handled:
        """No effect on state; what the comparison gives is for this node alone."""
        met = meet(self._connection, event, position, self.derived)
        if met is not None:
            self.met.append(met)
        return _NOTHING

    def _finish(self, before: int, written: dict[str, int]) -> None:
        for name, table in self.tables.items():
            if table.written != written.get(name, -1):
                self._connection.execute(
                    "UPDATE _cl_schema SET written = ? WHERE table_name = ?", (table.written, name)
                )
        prune(self._connection, self.state.floor)
        if not store_state(self._connection, self.state, before, self._incarnation):
            raise Halt(
                "replica_taken",
                "another process wrote this replica's file",
                "Stop the other node: a data folder belongs to one node. Then start this one again",
            )


class HaltedBatch(Halt):
    """A halt in the middle of a batch, with what was applied before it."""

    def __init__(self, halt: Halt, done: list[Applied]) -> None:
        super().__init__(halt.reason, halt.detail, halt.cure)
        self.done = done


def _too_new(position: int, what: str) -> Halt:
    return Halt(
        "too_new",
        f"the record at {position} asks for {what}",
        "Start a build that knows it on this data folder; reads go on meanwhile",
    )
