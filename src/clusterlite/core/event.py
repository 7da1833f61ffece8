"""Events: one decision each, as they stand in the log.

An event with one change has exactly the Go program's five fields, plus fields that its readers
ignore. Every kind keeps the five, with `table_name` empty where there is no table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from clusterlite.core.names import fold

FORMAT: Final = 1
"""The newest envelope format that this build writes and reads."""

LEVEL: Final = 1
"""The newest apply level that this build knows; state holds the one in force."""

ROW_OPERATIONS: Final = frozenset({"INSERT", "UPDATE", "PATCH", "DELETE"})
FOREIGN_OPERATIONS: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
CHANGE_OPERATIONS: Final = ROW_OPERATIONS | {"ASSERT"}
OPERATIONS: Final = ROW_OPERATIONS | {
    "TRANSACTION",
    "SCHEMA",
    "GENESIS",
    "SETTINGS",
    "BARRIER",
    "FENCE",
    "CHECKPOINT",
}


class Condition(NamedTuple):
    """A precondition on one row, judged at apply.

    Args:
        version: the row must have this version; None where that is not asked.
        present: True: the row must be there; False: it must be absent; None: not asked.
    """

    version: int | None = None
    present: bool | None = None

    def holds(self, version: int | None) -> bool:
        """Whether the row's version (None where it is absent) meets the condition."""
        if self.version is not None and version != self.version:
            return False
        return self.present is None or self.present == (version is not None)

    def to_json(self) -> dict[str, Any]:
        """As it stands in an event."""
        if self.version is not None:
            return {"version": self.version}
        return {"present": True} if self.present else {"absent": True}


class Change(NamedTuple):
    """One row operation inside an event.

    Args:
        operation: one of `CHANGE_OPERATIONS`.
        table: the table's name, as the writer spelled it.
        key: the row's id.
        data: the row, or a part of it, in JSON form; holds `id`.
        schema: position of the declaration that the writer knew; -1 without one.
        condition: what must hold before it.
    """

    operation: str
    table: str
    key: str
    data: dict[str, Any]
    schema: int = -1
    condition: Condition | None = None


def misplaced_conditions(changes: Iterable[Change]) -> Iterator[tuple[int, str]]:
    """The changes of a transaction whose preconditions are not where they must be, and why.

    Each is judged against the state before the first change. So only the first change of a row
    carries one, and an ASSERT, which is nothing else, has one.
    """
    touched: set[tuple[str, str]] = set()
    for index, change in enumerate(changes):
        row = (fold(change.table), change.key)
        if change.condition is not None and row in touched:
            yield index, "only the first change of a row carries a precondition"
        if change.condition is None and change.operation == "ASSERT":
            yield index, "ASSERT needs a precondition"
        touched.add(row)


class Event(NamedTuple):
    """A decoded record.

    Args:
        id: unique; the same id has at most one effect. `@<position>` where the record had none.
        operation: as written; possibly one that no build knows.
        table: `table_name`, empty where there is none.
        data: as written.
        format: None for events from elsewhere (the Go program, any producer).
        cluster: None where the record names none.
        after: the writer's position when the bytes were made.
        fp: fingerprint of the request, for whoever waits.
        changes: the row operations in order.
        actor: who asked for it, for history.
        timestamp: when, by the writer's clock; no rule depends on it.
        problem: what is wrong with the envelope or its shape, else None.
    """

    id: str
    operation: str
    table: str
    data: dict[str, Any]
    format: int | None
    cluster: str | None
    after: int
    fp: str
    changes: tuple[Change, ...]
    actor: str = ""
    timestamp: str = ""
    problem: str | None = None

    @property
    def ours(self) -> bool:
        """Whether a node wrote it, and not a producer of another kind."""
        return self.format is not None


class Stamp(NamedTuple):
    """What a node adds to a decision to make an event of it. All that differs between nodes.

    Args:
        id: the event's id.
        timestamp: RFC 3339, UTC, six digits.
        cluster: the cluster id; empty before GENESIS.
        node: the node's name, for people.
        after: the node's position.
        actor: the authenticated name, else empty.
        fp: fingerprint of the request, else empty.
    """

    id: str
    timestamp: str
    cluster: str
    node: str
    after: int
    actor: str = ""
    fp: str = ""
