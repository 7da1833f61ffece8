"""What the calls of a node know of its tables, and the readers of its threads."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakSet

from clusterlite.core.entity import Entity
from clusterlite.core.operations import TableOperations
from clusterlite.core.outcome import Outcome
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import ConfigError, NotServing
from clusterlite.node.runtime import Runtime
from clusterlite.replica.reader import Reader, Selection, holds, known_schema


class Tables:
    """The tables of one node.

    Args:
        runtime: of the node.
        registry: the entities that it has.
    """

    def __init__(self, runtime: Runtime, registry: EntityRegistry) -> None:
        self._runtime = runtime
        self._registry = registry
        self._known: dict[type[Entity], tuple[int, Selection]] = {}
        self._readers = threading.local()
        # A thread that ended lets go of its reader, and so does this set.
        self.opened_readers: WeakSet[Reader] = WeakSet()

    def close(self) -> None:
        """Close every reader; a call that follows finds the node closed."""
        for reader in list(self.opened_readers):
            reader.close()
        self.opened_readers.clear()
        self._readers = threading.local()

    def leave_to_parent(self) -> None:
        """In a forked process: keep the readers, unused; see `node.forks`."""
        self._inherited_readers = self._readers
        self._readers = threading.local()
        self.opened_readers.clear()

    def selection(self, entity: type[Entity], wait_s: float) -> tuple[int, Selection]:
        """The declaration that this node knows, by its position, and how a row is read.

        Args:
            entity: which.
            wait_s: how long to wait for its declaration, in seconds.

        Raises:
            ConfigError: it is not among the node's entities.
            NotServing: the log does not declare it, or not yet.
        """
        known = self._known.get(entity)
        if known is None:
            name = entity.declaration.name
            self._declared(entity)
            names = [column.name for column in entity.declaration.columns]
            table = self._runtime.table(name)
            if not holds(table, names):
                self._runtime.wait_ready(wait_s)
                table = self._runtime.table(name)
            if not holds(table, names):
                raise NotServing(f"the log does not declare {name} like this")
            known = known_schema(table, names), Selection(name, names)
            self._known[entity] = known
        return known

    def operations(self, entity: type[Entity], wait_s: float) -> tuple[TableOperations, int]:
        """How a table writes its events, and its declaration; arguments as `selection`."""
        schema, _ = self.selection(entity, wait_s)
        return self._declared(entity), schema

    def row(self, entity: type[Entity], key: str, wait_s: float) -> tuple[Any, ...] | None:
        """One row as `(version, values…)`, None where it is absent; arguments as `selection`."""
        return self.reader().row(self.selection(entity, wait_s)[1], key)

    def known(self, event_id: str) -> Outcome | None:
        """The outcome of an event, as far as this replica has it."""
        return self.reader().fate(event_id).outcome

    def reader(self) -> Reader:
        """That of the calling thread.

        Raises:
            NotServing: the node is not open.
        """
        reader: Reader | None = getattr(self._readers, "reader", None)
        if reader is None:
            if not self._runtime.is_open:
                raise self._runtime.not_open()
            reader = Reader(self._runtime.replica)
            self._readers.reader = reader
            self.opened_readers.add(reader)
        return reader

    def _declared(self, entity: type[Entity]) -> TableOperations:
        operations = self._registry.get(entity.declaration.name)
        if operations is None:
            raise ConfigError(f"{entity.__name__} is not among the node's entities")
        return operations
