"""The entities that a node serves, by table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clusterlite.core.entity import Entity
from clusterlite.core.names import fold
from clusterlite.core.operations import DeclaredOperations, TableOperations
from clusterlite.errors import DeclarationError


class EntityRegistry:
    """Entities by table name, in the order in which they were registered.

    Args:
        entities: classes, or operations that stand for one.

    Raises:
        DeclarationError: two of one table.
    """

    def __init__(self, entities: Iterable[type[Entity] | TableOperations] = ()) -> None:
        self._operations: dict[str, TableOperations] = {}
        for entity in entities:
            self.register(entity)

    def register(self, entity: type[Entity] | TableOperations) -> TableOperations:
        """Add an entity.

        Raises:
            DeclarationError: its table is registered already.
        """
        operations = entity if isinstance(entity, TableOperations) else DeclaredOperations(entity)
        name = fold(operations.table_name)
        if name in self._operations:
            raise DeclarationError(f"two entities declare the table {operations.table_name!r}")
        self._operations[name] = operations
        return operations

    def get(self, table: str) -> TableOperations | None:
        """The operations of a table, None where none is registered."""
        return self._operations.get(fold(table))

    def __iter__(self) -> Iterator[TableOperations]:
        return iter(self._operations.values())

    def __len__(self) -> int:
        return len(self._operations)
