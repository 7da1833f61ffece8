"""One row operation: judged and applied exactly as the rules say.

The order in which a change is judged, so that every replica names the same reason:

    1. shape of a foreign event's keys      invalid
    2. the table is declared                unknown_table
    3. its precondition                     precondition_failed
    4. existence                            exists, not_found
    5. types, by column                     datatype (a foreign event without a key: invalid)
    6. NOT NULL, by column                  not_null
    7. unique, by column                    unique
    8. references, by column, then referrers  foreign_key

SQLite judges 7 and 8 first, by refusing the statement; the reason is then looked up in this
order. Anything that SQLite refuses for no reason of the list is a fault of the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import apsw

from clusterlite.core.event import Change
from clusterlite.core.fields import Json, Stored, Unconvertible
from clusterlite.core.names import fold, is_name
from clusterlite.core.operations import Refused, TableOperations
from clusterlite.core.outcome import Result, Row
from clusterlite.core.patch import merge
from clusterlite.core.schema import COLUMNS_MAX, Column, Table, undeclared
from clusterlite.replica.database import Connection, scalar
from clusterlite.replica.tables import PhysicalTable, quote, store_schema

Values = tuple[Stored, ...]


class Rejection(Exception):
    """The verdict on a change: rejected, with what the outcome stores about it."""

    def __init__(
        self,
        code: str,
        field: str | None = None,
        *,
        version: int | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.version = version
        self.detail = detail
        self.change = 0


class Found(NamedTuple):
    """A row as it is before a change."""

    values: Values
    version: int


class Changes:
    """Applies changes on the writer's connection, inside its transaction.

    Args:
        connection: the writer's.
        tables: every table by folded name; extended here for undeclared ones.
        code: operations that replace what happens at apply, by folded table name.
    """

    def __init__(
        self,
        connection: Connection,
        tables: dict[str, PhysicalTable],
        code: Mapping[str, TableOperations],
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._code = code

    def check_condition(self, change: Change) -> None:
        """Judge the change's precondition against the state as it is now.

        Raises:
            Rejection: `unknown_table` or `precondition_failed`.
        """
        if change.condition is not None:
            version = self._version(self._table(change), change.key)
            if not change.condition.holds(version):
                raise Rejection("precondition_failed", version=version)

    def apply(self, change: Change, position: int, *, ours: bool) -> tuple[Result, list[Row]]:
        """Apply one change whose precondition holds.

        Args:
            change: of an event at `position`.
            position: becomes the version of the row.
            ours: judged by our rules and not by the Go program's.

        Raises:
            Rejection: the change has no effect.
        """
        if change.operation == "ASSERT":
            return Result("ASSERT", self._table(change).schema.name, change.key, False), []
        table = self._table(change) if ours else self._foreign_table(change, position)
        found = self._find(table, change.key)
        self._judge_existence(change, found, ours=ours)
        result = Result(change.operation, table.schema.name, change.key, found is None)
        if change.operation == "DELETE":
            if found is None:
                return result._replace(created=False), []
            return result._replace(created=False), self._remove(table, change, position)
        values = self._values(table.schema, change, found, ours=ours)
        return result, self._write(table, change, values, found, position)

    def _table(self, change: Change) -> PhysicalTable:
        table = self._tables.get(fold(change.table))
        if table is None or not table.schema.declared:
            raise Rejection("unknown_table")
        return table

    def _foreign_table(self, change: Change, position: int) -> PhysicalTable:
        """The table of a foreign event; made or extended from its keys where undeclared."""
        keys = [key for key in change.data if key != "id"]
        folded = {fold(key) for key in keys}
        if len(folded) != len(keys) or "id" in folded or not all(map(is_name, keys)):
            raise Rejection("invalid")
        name = fold(change.table)
        table = self._tables.get(name)
        if table is not None and table.schema.declared:
            return table
        if change.operation == "DELETE":
            keys = []
        known = {} if table is None else table.schema.by_name
        if len(known.keys() | {fold(key) for key in keys}) > COLUMNS_MAX:
            raise Rejection("invalid")
        if table is None:
            schema = undeclared(change.table, keys, position)
            table = PhysicalTable(schema)
            table.create(self._connection)
        else:
            new = [key for key in keys if fold(key) not in table.schema.by_name]
            if not new:
                return table
            added = undeclared(change.table, new, position).columns
            old = table.schema
            for column in added:
                table.add_column(self._connection, column)
            schema = Table(old.name, old.columns + added, position=position, declared=False)
            table = PhysicalTable(schema)
        store_schema(self._connection, schema)
        self._tables[name] = table
        return table

    def _version(self, table: PhysicalTable, key: str) -> int | None:
        version = scalar(self._connection, table.select_version, (key,))
        return None if version is None else int(version)

    def _find(self, table: PhysicalTable, key: str) -> Found | None:
        row = self._connection.execute(table.select_row, (key,)).fetchone()
        return None if row is None else Found(row[:-1], row[-1])

    @staticmethod
    def _judge_existence(change: Change, found: Found | None, *, ours: bool) -> None:
        if not ours:
            return
        if change.operation == "INSERT" and found is not None:
            raise Rejection("exists", version=found.version)
        if change.operation in {"PATCH", "DELETE"} and found is None:
            raise Rejection("not_found")

    def _values(self, schema: Table, change: Change, found: Found | None, *, ours: bool) -> Values:
        """The row that the change leaves behind, in column order."""
        given = {fold(key): value for key, value in change.data.items() if key != "id"}
        if ours and len(given) != len(change.data) - 1:
            raise Rejection("invalid")
        patch = change.operation == "PATCH"
        named = set(given)
        values: list[Stored] = []
        for index, column in enumerate(schema.columns):
            old = None if found is None else found.values[index]
            name = fold(column.name)
            if name in given:
                value = given.pop(name)
                values.append(_converted(column, value, old if patch else None, patch=patch))
            elif patch or (ours and column.since > change.schema and found is not None):
                values.append(old)
            else:
                values.append(_missing(column))
        if given and ours:
            raise Rejection("invalid", next(iter(given)))
        for column, stored in zip(schema.columns, values, strict=True):
            if column.required and stored is None:
                code = "not_null" if fold(column.name) in named else "invalid"
                raise Rejection(code, column.name)
        return tuple(values)

    def _write(
        self,
        table: PhysicalTable,
        change: Change,
        values: Values,
        found: Found | None,
        position: int,
    ) -> list[Row]:
        custom = self._code.get(fold(table.schema.name)) if table.schema.code else None
        rows = _Rows(self, table, position)
        if custom is None:
            rows.put(change.key, values, exists=found is not None)
            return rows.images
        shown = table.schema.shown(change.key, table.schema.image(values))
        return self._handled(custom.handle_upsert, rows, change._replace(data=shown))

    def _remove(self, table: PhysicalTable, change: Change, position: int) -> list[Row]:
        custom = self._code.get(fold(table.schema.name)) if table.schema.code else None
        rows = _Rows(self, table, position)
        if custom is None:
            rows.remove(change.key)
            return rows.images
        return self._handled(custom.handle_delete, rows, change)

    @staticmethod
    def _handled(handler: object, rows: _Rows, change: Change) -> list[Row]:
        try:
            handler(rows, change)  # type: ignore[operator]
        except Refused as refusal:
            raise Rejection("check", refusal.field) from None
        return rows.images

    def execute_judged(
        self, table: PhysicalTable, sql: str, bindings: Values, key: str, values: Values | None
    ) -> None:
        """Run a statement that constraints may refuse.

        Args:
            table: that it writes.
            sql: of one row.
            bindings: of the statement.
            key: of the row.
            values: that the row will have, None where it is removed.

        Raises:
            Rejection: `unique` or `foreign_key`, with the field by our order of judgement.
            apsw.ConstraintError: refused for a reason that is none of ours.
        """
        try:
            self._connection.execute(sql, bindings)
        except apsw.ConstraintError:
            if values is not None:
                self._judge_unique(table, key, values)
                self._judge_references(table.schema, key, values)
            else:
                self._judge_referrers(table.schema, key)
            raise

    def _judge_unique(self, table: PhysicalTable, key: str, values: Values) -> None:
        for column, value in zip(table.schema.columns, values, strict=True):
            if not column.unique or value is None:
                continue
            sql = f"SELECT 1 FROM {table.name} WHERE {quote(column.name)} = ? AND id <> ?"
            if scalar(self._connection, sql, (value, key)):
                raise Rejection("unique", column.name)

    def _judge_references(self, schema: Table, key: str, values: Values) -> None:
        for column, value in zip(schema.columns, values, strict=True):
            if column.references is None or value is None:
                continue
            itself = fold(column.references) == fold(schema.name) and value == key
            sql = f"SELECT 1 FROM {quote(column.references)} WHERE id = ?"
            if not itself and not scalar(self._connection, sql, (value,)):
                raise Rejection("foreign_key", column.name)

    def _judge_referrers(self, schema: Table, key: str) -> None:
        for _, other in sorted(self._tables.items()):
            for column in other.schema.columns:
                if column.references is None or fold(column.references) != fold(schema.name):
                    continue
                sql = f"SELECT 1 FROM {other.name} WHERE {quote(column.name)} = ?"
                if scalar(self._connection, sql, (key,)):
                    raise Rejection("foreign_key", f"{other.schema.name}.{column.name}")


class _Rows:
    """The rows of one table, as operations reach them; keeps the images of what was written."""

    def __init__(self, changes: Changes, table: PhysicalTable, position: int) -> None:
        self._changes = changes
        self._table = table
        self._position = position
        self.images: list[Row] = []

    def fetch(self, key: str) -> dict[str, Json] | None:
        """See `operations.TableRows`."""
        found = self._changes._find(self._table, key)
        if found is None:
            return None
        return self._table.schema.shown(key, self._table.schema.image(found.values))

    def upsert(self, row: Mapping[str, Json]) -> None:
        """See `operations.TableRows`."""
        schema = self._table.schema
        key = row.get("id")
        if type(key) is not str or not key:
            raise Rejection("datatype", "id")
        values = tuple(
            _converted(column, row.get(column.name), None, patch=False) for column in schema.columns
        )
        for column, stored in zip(schema.columns, values, strict=True):
            if column.required and stored is None:
                raise Rejection("not_null", column.name)
        exists = self._changes._version(self._table, key) is not None
        self.put(key, values, exists=exists)

    def remove(self, key: str) -> bool:
        """See `operations.TableRows`."""
        if self._changes._version(self._table, key) is None:
            return False
        self._changes.execute_judged(self._table, self._table.delete, (key,), key, None)
        self.images.append(Row(self._table.schema.name, key, None))
        return True

    def put(self, key: str, values: Values, *, exists: bool) -> None:
        """Write a row of converted values."""
        table = self._table
        if exists:
            bindings = (*values, self._position, key)
            self._changes.execute_judged(table, table.update, bindings, key, values)
        else:
            bindings = (key, *values, self._position)
            self._changes.execute_judged(table, table.inserts[1], bindings, key, values)
        self.images.append(Row(table.schema.name, key, table.schema.image(values)))


def _converted(column: Column, value: Json, old: Stored, *, patch: bool) -> Stored:
    if patch and column.type == "json" and type(value) is dict:
        value = merge(column.shown(old), value)
    try:
        return column.stored(value)
    except Unconvertible as error:
        raise Rejection("datatype", column.name, detail=str(error)) from None


def _missing(column: Column) -> Stored:
    return column.stored(column.default) if column.has_default else None
