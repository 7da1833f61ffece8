"""Transactions as a program writes them down: many changes in one event, all or none.

    node.transaction([
        Assert(User, "ann", version=41),
        Create(Order(user="ann", amount=7)),
        Patch(Stock, "apples", {"left": 3}, if_version=9),
        Update(account, if_version=account.version),
    ])

Each class does in a transaction what the node's method of its name does alone. Every precondition
is judged against the state before the first change, so only the first change of a row has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from clusterlite.core.codec import CHANGES_MAX
from clusterlite.core.entity import Entity, check_key, judged_row, key_of
from clusterlite.core.event import Change, Condition, misplaced_conditions
from clusterlite.core.names import fold
from clusterlite.core.outcome import Applied
from clusterlite.core.partial import fields_as_json, partial_of
from clusterlite.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class Create:
    """Insert a row; its id is made where it is empty.

    Args:
        entity: the row.
    """

    entity: Entity


@dataclass(frozen=True, slots=True)
class Put:
    """Create the row, or replace it where it is there.

    Args:
        entity: the row, with its id.
    """

    entity: Entity


@dataclass(frozen=True, slots=True)
class Update:
    """Replace a row that is there.

    Args:
        entity: the row, with its id.
        if_version: only where the row had this version before the transaction.
    """

    entity: Entity
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Change some fields of a row that is there.

    A class that judges several fields together needs the whole row: take `Update` for it.

    Args:
        entity: the class.
        key: of the row.
        fields: by name, as the class's constructor takes them.
        if_version: only where the row had this version before the transaction.
    """

    entity: type[Entity]
    key: str
    fields: Mapping[str, Any]
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a row.

    Args:
        entity: the class.
        key: of the row.
        if_version: only where the row had this version before the transaction.
    """

    entity: type[Entity]
    key: str
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Assert:
    """Write nothing; ask that a row is there, or is as it was read.

    Args:
        entity: the class.
        key: of the row.
        version: that the row must have; any where it is None.
        absent: the row must not be there.
    """

    entity: type[Entity]
    key: str
    version: int | None = None
    absent: bool = False


AnyChange = Create | Put | Update | Patch | Delete | Assert


class Changed(NamedTuple):
    """What one change of a transaction did.

    Args:
        operation: as it stands in the event: INSERT, UPDATE, PATCH, DELETE or ASSERT.
        table: the table's name.
        key: the row's id.
        created: whether the row was not there before the change.
        row: as the transaction left it, with `id` and `version`; None where it left none, and
            of an Assert.
    """

    operation: str
    table: str
    key: str
    created: bool
    row: Entity | None


def spelled(
    changes: Sequence[AnyChange],
    schema_of: Callable[[type[Entity]], int],
    new_key: Callable[[], str],
) -> list[Change]:
    """The changes as they stand in the event.

    Args:
        changes: as the program wrote them down.
        schema_of: the position of the declaration that the writer knows.
        new_key: makes an id.

    Raises:
        InputError: what is wrong where; pointers begin with `/changes/<index>`.
    """
    if not 0 < len(changes) <= CHANGES_MAX:
        why = f"has {len(changes)} changes; a transaction has 1 to {CHANGES_MAX}"
        raise InputError([Problem("/changes", "size", why)])
    found: list[Change] = []
    problems: list[Problem] = []
    for index, change in enumerate(changes):
        try:
            found.append(_spelled(change, schema_of, new_key))
        except InputError as error:
            problems += at_change(index, error)
    if problems:
        raise InputError(problems)
    check_conditions(found)
    return found


def at_change(index: int, error: InputError) -> list[Problem]:
    """The problems of one change, as those of the whole."""
    return [p._replace(pointer=f"/changes/{index}{p.pointer}") for p in error.problems]


def check_conditions(changes: Iterable[Change]) -> None:
    """Refuse preconditions that no node would judge.

    Raises:
        InputError: names each change.
    """
    problems = [
        Problem(f"/changes/{index}/if", "precondition", reason)
        for index, reason in misplaced_conditions(changes)
    ]
    if problems:
        raise InputError(problems)


def done(changes: Sequence[AnyChange], applied: Applied) -> list[Changed]:
    """What each change did.

    Args:
        changes: as the program wrote them down.
        applied: the outcome of their event, and the images that it left.
    """
    outcome, rows = applied.outcome, applied.rows
    left = {(fold(row.table), row.key): row.fields for row in rows}
    found: list[Changed] = []
    for change, result in zip(changes, outcome.results, strict=True):
        row = None
        fields = left.get((fold(result.table), result.key))
        if fields is not None and result.operation != "ASSERT":
            kind = class_of(change)
            values = [fields.get(column.name) for column in kind.declaration.columns]
            row = kind.from_stored(result.key, values, outcome.position)
        found.append(Changed(result.operation, result.table, result.key, result.created, row))
    return found


def class_of(change: AnyChange) -> type[Entity]:
    """The class whose table it is about."""
    return change.entity if isinstance(change, Patch | Delete | Assert) else type(change.entity)


def _spelled(
    change: object, schema_of: Callable[[type[Entity]], int], new_key: Callable[[], str]
) -> Change:
    if not isinstance(change, AnyChange):
        why = f"is {change!r}; a change is a Create, Put, Update, Patch, Delete or Assert"
        raise InputError([Problem("", "type", why)])
    kind = class_of(change)
    table, schema = kind.declaration.name, schema_of(kind)
    if isinstance(change, Delete | Assert):
        operation = "DELETE" if isinstance(change, Delete) else "ASSERT"
        key = check_key(change.key)
        return Change(operation, table, key, {"id": key}, schema, _condition(change))
    if isinstance(change, Patch):
        key = check_key(change.key)
        part = partial_of(kind).read(fields_as_json(kind, change.fields), key)
        if part.data is None:
            why = (
                f"a Patch of {table} needs the whole row, to judge its fields together; read it, "
                "and take Update(row, if_version=row.version)"
            )
            raise InputError([Problem("", "whole_row", why)])
        return Change("PATCH", table, key, {"id": key, **part.data}, schema, _condition(change))
    entity = change.entity
    if isinstance(change, Create):
        key = check_key(entity.id) if entity.id else new_key()
    else:
        key = key_of(type(change).__name__, entity)
    operation = "INSERT" if isinstance(change, Create) else "UPDATE"
    row = {"id": key, **judged_row(entity)}
    return Change(operation, table, key, row, schema, _condition(change))


def _condition(change: AnyChange) -> Condition | None:
    if isinstance(change, Assert):
        if change.absent and change.version is not None:
            why = "asks for a version and for no row; choose one"
            raise InputError([Problem("/if", "precondition", why)])
        if change.version is None:
            return Condition(present=not change.absent)
        return Condition(change.version)
    if isinstance(change, Update) and change.if_version is None:
        return Condition(present=True)
    if isinstance(change, Update | Patch | Delete) and change.if_version is not None:
        return Condition(change.if_version)
    return None
