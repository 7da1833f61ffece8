"""Table operations: the Go program's interface of nine, and the default that entities get.

A user's class may replace any part. What it replaces at apply (`handle_upsert`,
`handle_delete`) becomes part of the replicated state machine:

1. It must be a pure function of its arguments: no clock, randomness, network, environment.
2. It reaches state through `TableRows` alone, so that every row it writes is in the hash.
3. It sets `apply_version` and raises it with every change of behaviour. The SCHEMA event names
   class and version; a node that lacks them halts `too_new` instead of guessing.

`clusterlite.testing` has a contract suite that tries the first two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, Protocol

from clusterlite.core import codec
from clusterlite.core.entity import Entity
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.schema import CodeVersion, Table
from clusterlite.errors import DeclarationError


class Refused(Exception):
    """Raised by a handler to reject the event with the code `check`.

    Args:
        field: the field that is to blame, None for the row as a whole.
    """

    def __init__(self, field: str | None = None) -> None:
        super().__init__(field or "row")
        self.field = field


class TableRows(Protocol):
    """The rows of one table inside the transaction that applies an event."""

    def fetch(self, key: str) -> dict[str, Json] | None:
        """The row as JSON with its `id`, None where it is absent."""

    def upsert(self, row: Mapping[str, Json]) -> None:
        """Write the full row; judged by the table's types and constraints."""

    def remove(self, key: str) -> bool:
        """Remove the row; False where it was absent."""


class TableReader(Protocol):
    """The rows of one table in one read snapshot."""

    def fetch(self, key: str) -> dict[str, Json] | None:
        """The row as JSON with its `id`, None where it is absent."""

    def fetch_all(self) -> Iterable[dict[str, Json]]:
        """Every row by key, in code point order."""


class TableOperations(ABC):
    """What a table can do: declare itself, make events, apply them, be read."""

    apply_version: ClassVar[int | None] = None
    """Set, and raised with every change, where a subclass replaces what happens at apply."""

    @property
    @abstractmethod
    def table_name(self) -> str:
        """The table's name."""

    @abstractmethod
    def create_table(self) -> Table:
        """The declaration that a SCHEMA event carries; replicas make the table from it."""

    @abstractmethod
    def handle_upsert(self, rows: TableRows, change: Change) -> None:
        """Apply an INSERT, UPDATE or PATCH whose preconditions hold; `change.data` is full.

        Raises:
            Refused: to reject the event.
        """

    @abstractmethod
    def handle_delete(self, rows: TableRows, change: Change) -> None:
        """Apply a DELETE of a row that is there.

        Raises:
            Refused: to reject the event.
        """

    @abstractmethod
    def get(self, rows: TableReader, key: str) -> dict[str, Json] | None:
        """One row, None where it is absent."""

    @abstractmethod
    def get_all(self, rows: TableReader) -> list[dict[str, Json]]:
        """Every row."""

    @abstractmethod
    def create_event(self, stamp: Stamp, row: Mapping[str, Json], schema: int = -1) -> bytes:
        """The record that inserts a full row."""

    @abstractmethod
    def update_event(
        self,
        stamp: Stamp,
        row: Mapping[str, Json],
        schema: int = -1,
        condition: Condition | None = None,
    ) -> bytes:
        """The record that creates or replaces a full row."""

    @abstractmethod
    def delete_event(self, stamp: Stamp, key: str, condition: Condition | None = None) -> bytes:
        """The record that removes a row."""


class DeclaredOperations(TableOperations):
    """The operations of a declared entity.

    Args:
        entity: a class with `table=`.

    Raises:
        DeclarationError: the entity has no table, or a subclass replaces a handler without
            an `apply_version`.
    """

    def __init__(self, entity: type[Entity]) -> None:
        if not hasattr(entity, "declaration"):
            raise DeclarationError(f"{entity.__name__}: has no table=…, so it declares none")
        self.entity = entity
        if self.replaces_apply and self.apply_version is None:
            raise DeclarationError(
                f"{type(self).__name__} replaces what happens at apply: set apply_version = 1 "
                "and raise it with every change, so that nodes without it halt"
            )

    @property
    def replaces_apply(self) -> bool:
        """Whether a subclass replaces a handler."""
        own, default = type(self), DeclaredOperations
        return (
            own.handle_upsert is not default.handle_upsert
            or own.handle_delete is not default.handle_delete
        )

    @property
    def table_name(self) -> str:
        """The entity's table."""
        return self.entity.declaration.name

    def create_table(self) -> Table:
        """The entity's declaration, with the class and version that take part in apply."""
        declaration = self.entity.declaration
        if not self.replaces_apply or self.apply_version is None:
            return declaration
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return replace(declaration, code=CodeVersion(name, self.apply_version))

    def handle_upsert(self, rows: TableRows, change: Change) -> None:
        """Write the row as it is."""
        rows.upsert(change.data)

    def handle_delete(self, rows: TableRows, change: Change) -> None:
        """Remove the row."""
        rows.remove(change.key)

    def get(self, rows: TableReader, key: str) -> dict[str, Json] | None:
        """One row, None where it is absent."""
        return rows.fetch(key)

    def get_all(self, rows: TableReader) -> list[dict[str, Json]]:
        """Every row."""
        return list(rows.fetch_all())

    def create_event(self, stamp: Stamp, row: Mapping[str, Json], schema: int = -1) -> bytes:
        """An INSERT: rejected `exists` if the key is there."""
        return codec.encode(stamp, "INSERT", self.table_name, row, schema=schema)

    def update_event(
        self,
        stamp: Stamp,
        row: Mapping[str, Json],
        schema: int = -1,
        condition: Condition | None = None,
    ) -> bytes:
        """An UPDATE: replaces the row, creates it where it is absent."""
        return codec.encode(
            stamp, "UPDATE", self.table_name, row, schema=schema, condition=condition
        )

    def delete_event(self, stamp: Stamp, key: str, condition: Condition | None = None) -> bytes:
        """A DELETE: rejected `not_found` if the key is absent."""
        return codec.encode(stamp, "DELETE", self.table_name, {"id": key}, condition=condition)
