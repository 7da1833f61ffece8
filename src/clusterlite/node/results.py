"""From the verdict on a call's event to what the call gives back, or raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from clusterlite.core.entity import Entity, EntityT
from clusterlite.core.outcome import NEVER, REJECTIONS, Applied, Outcome, Row
from clusterlite.core.partial import bare
from clusterlite.core.rejections import rejection
from clusterlite.core.transaction import AnyChange, class_of
from clusterlite.errors import NotFound, Rejected

_CLOSED: Final = "its id was closed by settle before it came; write again with a new key"


def row_written(
    entity: EntityT, applied: Applied, get: Callable[[type[EntityT], str], EntityT | None]
) -> EntityT:
    """The row that a create, put or update left.

    Args:
        entity: as the caller gave it.
        applied: the outcome of its event.
        get: reads a row as this replica has it now.
    """
    key, version = applied.outcome.results[0].key, applied.outcome.position
    kind = type(entity)
    found = _image(kind, key, applied)
    if found is None and applied.repeated:
        found = get(kind, key)
    if found is not None and found.version == version:
        return found
    return entity.model_copy(update={"id": key})._at_version(version)


def row_patched(
    entity: type[EntityT],
    row_id: str,
    applied: Applied,
    get: Callable[[type[EntityT], str], EntityT | None],
) -> EntityT:
    """The row that a patch left; its id and version alone where it was written since.

    Args:
        entity: its class.
        row_id: of the row.
        applied: the outcome of the patch.
        get: reads a row as this replica has it now.

    Raises:
        NotFound: the table's own operations left no such row.
    """
    version = applied.outcome.position
    found = _image(entity, row_id, applied)
    if found is None and not applied.repeated:
        place = f"patch of {entity.declaration.name}/{row_id}"
        why = f"{place}: the table's own operations left no such row"
        raise NotFound("not_found", applied.outcome.event_id, version, text=why)
    if found is None:
        found = get(entity, row_id)
    if found is not None and found.version == version:
        return found
    return bare(entity, row_id)._at_version(version)


def rows_remembered(
    changes: Sequence[AnyChange],
    outcome: Outcome,
    look: Callable[[type[Entity], str], tuple[Any, ...] | None],
) -> tuple[Row, ...]:
    """The images of an earlier transaction, as far as its rows were not written since.

    Args:
        changes: of the transaction.
        outcome: of its event.
        look: reads a row as it is now, as `(version, values…)`.
    """
    rows: dict[tuple[str, str], Row] = {}
    for change, result in zip(changes, outcome.results, strict=True):
        kind = class_of(change)
        found = look(kind, result.key)
        if found is not None and found[0] == outcome.position:
            names = [column.name for column in kind.declaration.columns]
            image = dict(zip(names, found[1:], strict=True))
            rows[result.table, result.key] = Row(result.table, result.key, image)
    return tuple(rows.values())


def rejected(outcome: Outcome, what: str) -> Rejected:
    """The error of a rejected outcome.

    Args:
        outcome: of the event.
        what: the write, as its caller knows it.
    """
    code = outcome.code or outcome.verdict
    kind: type[Rejected] | None = None
    why = _CLOSED if code == NEVER else REJECTIONS.get(code, code)
    if code == "precondition_failed" and outcome.version is None:
        kind, why = NotFound, REJECTIONS["not_found"]
    elif code == "precondition_failed":
        why += f"; its version is {outcome.version}"
    return rejection(outcome, f"{what}: {outcome.detail or why}", kind)


def _image(entity: type[EntityT], key: str, applied: Applied) -> EntityT | None:
    for row in reversed(applied.rows):
        if row.key == key and row.fields is not None:
            values = [row.fields.get(column.name) for column in entity.declaration.columns]
            return entity.from_stored(key, values, applied.outcome.position)
    return None
