"""How other programs may spell events: what the table of their records is made of."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from clusterlite.core.entity import Entity, Field

CLUSTER: Final = "c-1"
TIME: Final = "2026-11-23T03:45:42.839888374Z"


class Person(Entity, table="people"):
    name: str
    email: str = Field(unique=True)
    age: int = 18
    note: str | None = None


class Task(Entity, table="tasks"):
    owner: str | None = Field(None, references="people")
    parent: str | None = Field(None, references="tasks")


class Stubborn(Entity, table="stubborn"):
    size: int


class Twin(Entity, table="twins"):
    sku: str = Field(unique=True)


class Orphan(Entity, table="orphans"):
    owner: str = Field(references="people")
    parent: str | None = Field(None, references="orphans")


class Case(NamedTuple):
    """One record.

    Args:
        name: of the case; also the event's id, unless `event` says otherwise.
        value: the bytes; None for a null value, which only Kafka knows.
        code: `applied`, a rejection, or `duplicate`: the id keeps the outcome that it has.
        field: that a rejection names.
        event: the event's id; `@` where the record's position stands for it.
    """

    name: str
    value: bytes | None
    code: str = "applied"
    field: str | None = None
    event: str = ""

    def event_id(self, position: int) -> str:
        """Under which the outcome is found."""
        return f"@{position}" if self.event == "@" else self.event or self.name


def record(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def plain(
    name: str,
    operation: Any,
    data: Any,
    table: Any = "people",
    code: str = "applied",
    field: str | None = None,
    *,
    event: str = "",
    **more: Any,
) -> Case:
    """An event of the first program's five fields, and `more`; `...` leaves a field out."""
    spelled = {
        "id": event or name,
        "operation": operation,
        "table_name": table,
        "data": data,
        "timestamp": TIME,
        **more,
    }
    value = record({key: item for key, item in spelled.items() if item is not ...})
    return Case(name, value, code, field, event)


def own(
    name: str,
    operation: Any,
    data: Any,
    table: Any = "people",
    code: str = "applied",
    field: str | None = None,
    *,
    event: str = "",
    **more: Any,
) -> Case:
    """An event of format 1, as a program may write it that does as our nodes do."""
    envelope = {"format": 1, "cluster": CLUSTER, "node": "x", "after": -1, **more}
    return plain(name, operation, data, table, code, field, event=event, **envelope)


def broken(name: str, value: bytes | None) -> Case:
    return Case(name, value, "unreadable", event="@")


def declared(name: str, entity: type[Entity], code: str = "applied", **more: Any) -> Case:
    table = entity.declaration
    return own(name, "SCHEMA", table.to_json(), table.name, code, **more)


def person(key: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "name": "Ann", "email": f"{key}@example.com", **more}


def wide(count: int) -> dict[str, Any]:
    return {"id": "w", **{f"c{number}": number for number in range(count)}}


def nested(depth: int) -> Any:
    """Lists in lists; in `data` of an event they stand three levels deep already."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value
