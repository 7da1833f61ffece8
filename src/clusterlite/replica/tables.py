"""Tables as SQLite holds them: their DDL, their statements, and how a declaration becomes one.

Text of SQL is made once a table and cached, never per event. Names are checked by `core.names`
before they come here, and quoted all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final

import apsw
import msgspec

from clusterlite.core.fields import Json, Stored
from clusterlite.core.names import fold
from clusterlite.core.schema import Column, Table
from clusterlite.core.spelled import InsertReader
from clusterlite.replica.database import Connection

GROUP_SIZES: Final = (64, 32, 16, 8, 4, 2, 1)
"""Rows a statement writes: few sizes, so that every text stays prepared."""


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class PhysicalTable:
    """One table's statements.

    Args:
        schema: what the log declares.
    """

    def __init__(self, schema: Table) -> None:
        self.schema = schema
        self.name = quote(schema.name)
        self.columns = [quote(column.name) for column in schema.columns]
        self.written = -1
        self.select_version = f"SELECT _version FROM {self.name} WHERE id = ?"
        self.delete = f"DELETE FROM {self.name} WHERE id = ?"
        listed = "".join(f"{column}, " for column in self.columns)
        self.select_row = f"SELECT {listed}_version FROM {self.name} WHERE id = ?"
        assigned = "".join(f"{column} = ?, " for column in self.columns)
        self.update = f"UPDATE {self.name} SET {assigned}_version = ? WHERE id = ?"

    @cached_property
    def takes(self) -> tuple[tuple[str, Callable[[Json, int], Stored], int, bool], ...]:
        """Of each column: its name, how a JSON value is stored, its scale, if it is required."""
        return tuple((c.name, c.kind.stored, c.scale, c.required) for c in self.schema.columns)

    @cached_property
    def insert_reader(self) -> InsertReader:
        """Reads the records that insert into it."""
        return InsertReader(self.schema)

    @cached_property
    def inserts(self) -> dict[int, str]:
        """An INSERT for each of `GROUP_SIZES` rows of (id, columns…, _version)."""
        names = ", ".join(["id", *self.columns, "_version"])
        row = "(" + ",".join("?" * (len(self.columns) + 2)) + ")"
        return {
            size: f"INSERT INTO {self.name} ({names}) VALUES {','.join([row] * size)}"
            for size in GROUP_SIZES
        }

    def create(self, connection: Connection) -> None:
        """Make the table with its indexes."""
        columns = ['"id" TEXT NOT NULL PRIMARY KEY']
        columns += [_column_ddl(column) for column in self.schema.columns]
        columns.append('"_version" INTEGER NOT NULL')
        connection.execute(f"CREATE TABLE {self.name} ({', '.join(columns)}) STRICT, WITHOUT ROWID")

    def add_column(self, connection: Connection, column: Column) -> None:
        """Add a column; rows that are there take its default.

        A REAL default is bound and not spelled, since SQLite builds differ in reading numbers;
        so is text with NUL, which no literal can hold.
        """
        ddl = f"ALTER TABLE {self.name} ADD COLUMN "
        stored = column.stored(column.default) if column.has_default else None
        unspelled = isinstance(stored, float) or (isinstance(stored, str) and "\0" in stored)
        if stored is None or unspelled:
            connection.execute(ddl + _column_ddl(column, required=False))
            if stored is not None:
                connection.execute(
                    f"UPDATE {self.name} SET {quote(column.name)} = ?",
                    (stored,),
                )
        else:
            default = apsw.format_sql_value(stored)
            connection.execute(f"{ddl}{_column_ddl(column)} DEFAULT {default}")

    def add_index(self, connection: Connection, column: Column, *, unique: bool) -> None:
        """Make the column's index; there is at most one of each kind.

        The dot stands in no table's or field's name, so no two indexes have the same one.
        """
        kind, prefix = ("UNIQUE INDEX", "_cl_unique") if unique else ("INDEX", "_cl_index")
        name = quote(f"{prefix}.{fold(self.schema.name)}.{fold(column.name)}")
        connection.execute(
            f"CREATE {kind} IF NOT EXISTS {name} ON {self.name} ({quote(column.name)})"
        )

    def repeated(self, connection: Connection, column: Column) -> list[str]:
        """Ids, in order, of rows whose value in the column is not unique."""
        name = quote(column.name)
        return [
            str(row[0])
            for row in connection.execute(
                f"SELECT id FROM {self.name} WHERE {name} IN (SELECT {name} FROM {self.name}"
                f" WHERE {name} IS NOT NULL GROUP BY {name} HAVING count(*) > 1) ORDER BY id"
            )
        ]


def _column_ddl(column: Column, *, required: bool | None = None) -> str:
    parts = [quote(column.name), column.kind.sqlite]
    if column.required if required is None else required:
        parts.append("NOT NULL")
    if column.references:
        parts.append(f"REFERENCES {quote(column.references)} (id)")
    return " ".join(parts)


def load_tables(connection: Connection) -> dict[str, PhysicalTable]:
    """Every table by its folded name."""
    tables: dict[str, PhysicalTable] = {}
    for name, position, declared, declaration, since, written in connection.execute(
        "SELECT table_name, position, declared, declaration, since, written FROM _cl_schema"
    ):
        tables[name] = PhysicalTable(
            read_schema(declaration, since, position=position, declared=bool(declared))
        )
        tables[name].written = written
    return tables


def read_schema(declaration: str, since: str, *, position: int, declared: bool) -> Table:
    """A table from a row of `_cl_schema`."""
    spelled = msgspec.json.decode(declaration)
    columns = tuple(
        Column(
            column["name"],
            column["type"],
            scale=column.get("scale", 0),
            required=column.get("required", False),
            default=column.get("default"),
            has_default="default" in column,
            unique=column.get("unique", False),
            index=column.get("index", False),
            references=column.get("references"),
            since=since_position,
        )
        for column, since_position in zip(
            spelled["columns"], msgspec.json.decode(since), strict=True
        )
    )
    proposal = Table.from_json({**spelled, "columns": []})
    return Table(
        proposal.name,
        columns,
        position=position,
        declared=declared,
        revision=proposal.revision,
        code=proposal.code,
    )


def store_schema(connection: Connection, table: Table) -> None:
    """Write the table's row of `_cl_schema`."""
    connection.execute(
        "INSERT INTO _cl_schema (table_name, position, declared, declaration, since)"
        " VALUES (?,?,?,?,?) ON CONFLICT (table_name) DO UPDATE SET position = excluded.position,"
        " declared = excluded.declared, declaration = excluded.declaration,"
        " since = excluded.since",
        (
            fold(table.name),
            table.position,
            int(table.declared),
            msgspec.json.encode(table.to_json()).decode(),
            msgspec.json.encode([column.since for column in table.columns]).decode(),
        ),
    )
