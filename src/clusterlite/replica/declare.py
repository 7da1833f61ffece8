"""SCHEMA events: a declaration becomes a table, an extension, or an adoption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from clusterlite.core.fields import Stored, Unconvertible, canonical_json
from clusterlite.core.names import fold
from clusterlite.core.outcome import Row
from clusterlite.core.schema import Column, Evolution, Incompatible, Table, evolve
from clusterlite.replica.changes import Rejection
from clusterlite.replica.database import Connection
from clusterlite.replica.tables import GROUP_SIZES, PhysicalTable, quote, store_schema

NAMED_IDS_MAX: Final = 10
_ASIDE: Final = "_cl_adopted"


def declare(
    connection: Connection,
    tables: dict[str, PhysicalTable],
    declaration: dict[str, Any],
    position: int,
) -> list[Row]:
    """Apply a declaration inside the writer's savepoint.

    Args:
        connection: the writer's.
        tables: by folded name; changed in place.
        declaration: the SCHEMA event's data.
        position: of the event.

    Returns:
        The images: none for a declaration without effect, else the declaration with the number
        of rows that it rewrote, then those rows by key.

    Raises:
        Rejection: `incompatible` or `not_adoptable`, with the reason and the first ten ids.
    """
    try:
        proposed = Table.from_json(declaration)
        name = fold(proposed.name)
        current = tables.get(name)
        evolution = evolve(current.schema if current else None, proposed, position)
    except Incompatible as error:
        raise Rejection("incompatible", detail=str(error)) from None
    if not evolution.changed:
        return []
    _check_references(tables, evolution.table, evolution.added)
    physical = PhysicalTable(evolution.table)
    rewritten: list[Row] = []
    if evolution.created:
        physical.create(connection)
    elif evolution.adopted and current is not None:
        rewritten = _adopt(connection, current, physical)
    for column in evolution.added:
        physical.add_column(connection, column)
    _add_indexes(connection, physical, evolution)
    store_schema(connection, evolution.table)
    physical.written = position
    tables[name] = physical
    fields: dict[str, Stored] = {
        "declaration": canonical_json(evolution.table.to_json()),
        "rows": len(rewritten),
    }
    return [Row(evolution.table.name, "", fields), *rewritten]


def _check_references(
    tables: dict[str, PhysicalTable], table: Table, added: Sequence[Column]
) -> None:
    for column in table.columns:
        if column.references is None or fold(column.references) == fold(table.name):
            continue
        target = tables.get(fold(column.references))
        if target is None or not target.schema.declared:
            raise Rejection(
                "incompatible",
                column.name,
                detail=f"field {column.name} refers to the table {column.references}, which is "
                "not declared; declare it first",
            )
    for column in added:
        if column.references and column.has_default:
            raise Rejection(
                "incompatible",
                column.name,
                detail=f"field {column.name} is new and refers to a table: let it be None",
            )


def _add_indexes(connection: Connection, table: PhysicalTable, evolution: Evolution) -> None:
    for column in evolution.uniques:
        repeated = table.repeated(connection, column)
        if repeated:
            raise _blocked(
                "not_adoptable" if evolution.adopted else "incompatible",
                column.name,
                "have the value of another row in a field that becomes unique",
                repeated,
            )
        table.add_index(connection, column, unique=True)
    for column in evolution.indexes:
        table.add_index(connection, column, unique=False)


def _blocked(code: str, field: str | None, what: str, ids: list[str]) -> Rejection:
    named = ", ".join(ids[:NAMED_IDS_MAX])
    more = f" and {len(ids) - NAMED_IDS_MAX} more" if len(ids) > NAMED_IDS_MAX else ""
    return Rejection(code, field, detail=f"{len(ids)} rows {what}: {named}{more}")


def _adopt(connection: Connection, old: PhysicalTable, new: PhysicalTable) -> list[Row]:
    """Build the declared table from the undeclared one's rows; they keep their version.

    References are judged at each statement, and a row may refer to one that comes later. So a
    reference to the table itself is written as the row's own id first, and as it is once all
    rows are there.
    """
    aside = quote(_ASIDE)
    connection.execute(f"ALTER TABLE {old.name} RENAME TO {aside}")
    new.create(connection)
    sources = [old.schema.by_name.get(fold(column.name)) for column in new.schema.columns]
    inward = {index for index, column in enumerate(new.schema.columns) if _inward(new, column)}
    images: list[Row] = []
    unlinked: list[tuple[Stored, ...]] = []
    misfits: list[str] = []
    field: str | None = None
    names = "".join(f"{column}, " for column in old.columns)
    for key, *values, version in connection.execute(
        f"SELECT id, {names}_version FROM {aside} ORDER BY id"
    ):
        try:
            row = tuple(
                _adopted_value(old.schema, column, source, values)
                for column, source in zip(new.schema.columns, sources, strict=True)
            )
            placed = tuple(
                key if index in inward and value is not None else value
                for index, value in enumerate(row)
            )
            connection.execute(new.inserts[GROUP_SIZES[-1]], (key, *placed, version))
        except Rejection as rejection:
            misfits.append(key)
            field = field or rejection.field
        except apsw.ConstraintError:  # a reference to no row
            misfits.append(key)
        else:
            images.append(Row(new.schema.name, key, new.schema.image(row)))
            if placed != row:
                unlinked.append((*row, version, key))
    for bindings in unlinked:
        try:
            connection.execute(new.update, bindings)
        except apsw.ConstraintError:
            misfits.append(str(bindings[-1]))
    if misfits:
        raise _blocked("not_adoptable", field, "do not fit the declaration", sorted(misfits))
    connection.execute(f"DROP TABLE {aside}")
    return images


def _inward(table: PhysicalTable, column: Column) -> bool:
    """Whether the field refers to its own table."""
    return column.references is not None and fold(column.references) == fold(table.schema.name)


def _adopted_value(
    schema: Table, column: Column, source: int | None, values: Sequence[Stored]
) -> Stored:
    value = None if source is None else schema.columns[source].shown(values[source])
    if value is None and column.has_default:
        value = column.default
    if value is None and column.required:
        raise Rejection("not_null", column.name)
    try:
        return column.stored(value)
    except Unconvertible:
        raise Rejection("datatype", column.name) from None
