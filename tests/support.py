"""A replica to apply events to, without a node: what tests of verdicts stand on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clusterlite.core.codec import encode, encode_transaction
from clusterlite.core.entity import Entity, Field
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.core.outcome import Outcome
from clusterlite.core.registry import EntityRegistry
from clusterlite.log.base import Record
from clusterlite.replica.applier import Applier
from clusterlite.replica.database import open_writer
from clusterlite.replica.state import take_over
from clusterlite.replica.verify import Verified, verify

CLUSTER = "c-1"


class User(Entity, table="users"):
    name: str = Field(min_length=1)
    email: str = Field(min_length=1)


class Replica:
    """A replica in a folder, at the end of a log that lives in a list.

    Args:
        folder: of the file.
        registry: operations that replace what happens at apply.
    """

    def __init__(self, folder: Path, registry: EntityRegistry | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "replica-1.db"
        self.connection = open_writer(self.path)
        take_over(self.connection, "n", "incarnation")
        self.applier = Applier(self.connection, "incarnation", registry)
        self.log: list[Record] = []
        self._ids = itertools.count()

    def close(self) -> None:
        self.connection.close()

    # Records.

    def stamp(self, event_id: str = "", after: int | None = None, cluster: str = CLUSTER) -> Stamp:
        return Stamp(
            event_id or f"e-{next(self._ids):06d}",
            "2026-11-22T20:00:00.123456Z",
            cluster,
            "n",
            self.applier.state.position if after is None else after,
        )

    def apply(self, *values: bytes, time_ms: int = 0) -> list[Outcome]:
        """Append the values to the log and apply them as one batch."""
        records = [
            Record(len(self.log) + offset, time_ms, value) for offset, value in enumerate(values)
        ]
        self.log += records
        return [applied.outcome for applied in self.applier.apply(records)]

    def one(self, value: bytes, time_ms: int = 0) -> Outcome:
        (outcome,) = self.apply(value, time_ms=time_ms)
        return outcome

    def found(self, *entities: type[Entity]) -> None:
        """GENESIS, and the entities' declarations."""
        self.one(encode(self.stamp(cluster=CLUSTER), "GENESIS"))
        for entity in entities:
            declaration = entity.declaration
            outcome = self.one(
                encode(self.stamp(), "SCHEMA", declaration.name, declaration.to_json())
            )
            assert outcome.verdict == "applied", outcome

    def event(
        self,
        operation: str,
        data: dict[str, Any],
        table: str = "users",
        *,
        condition: Condition | None = None,
        schema: int | None = None,
        event_id: str = "",
        after: int | None = None,
    ) -> bytes:
        """The record of a row operation; knows the newest declaration by default."""
        if schema is None:
            known = self.applier.tables.get(table.lower())
            schema = -1 if known is None else known.schema.position
        stamp = self.stamp(event_id, after)
        return encode(stamp, operation, table, data, schema=schema, condition=condition)

    def transaction(self, *changes: Change) -> bytes:
        return encode_transaction(self.stamp(), changes)

    # State.

    def rows(self, table: str = "users") -> list[dict[str, Any]]:
        schema = self.applier.tables[table].schema
        columns = "".join(f', "{column.name}"' for column in schema.columns)
        return [
            {"id": key, **{c.name: c.shown(v) for c, v in zip(schema.columns, values, strict=True)}}
            for key, *values in self.connection.execute(
                f'SELECT id{columns} FROM "{schema.name}" ORDER BY id'
            )
        ]

    def version(self, key: str, table: str = "users") -> int | None:
        row = self.connection.execute(
            f'SELECT _version FROM "{table}" WHERE id = ?', (key,)
        ).fetchone()
        return None if row is None else int(row[0])

    def verified(self) -> Verified:
        return verify(self.path)


def replay(folder: Path, log: Sequence[Record], cuts: Sequence[int] = ()) -> Replica:
    """A fresh replica with the log applied, cut into batches at these places."""
    replica = Replica(folder)
    edges = [0, *sorted(set(cuts) & set(range(1, len(log)))), len(log)]
    for start, end in itertools.pairwise(edges):
        replica.applier.apply(log[start:end])
    replica.log = list(log)
    return replica


def foreign(operation: str, table: str, data: dict[str, Any], event_id: str = "") -> bytes:
    """An event as the first program writes it."""
    event: dict[str, Any] = {
        "operation": operation,
        "table_name": table,
        "data": data,
        "timestamp": "2026-11-23T03:45:42.839888374Z",
    }
    if event_id:
        event = {"id": event_id, **event}
    return json.dumps(event).encode()
