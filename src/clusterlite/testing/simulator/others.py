"""Who else writes into the log: the cluster's operator, other programs, forgers, late producers."""

from __future__ import annotations

import json
from typing import Any, Final

from clusterlite.core import codec
from clusterlite.core.checkpoint import Checkpoint
from clusterlite.core.event import Stamp
from clusterlite.core.hashing import MARK_EVERY
from clusterlite.testing.history import Recorder
from clusterlite.testing.simulator.log import Store
from clusterlite.testing.simulator.plan import Plan
from clusterlite.testing.simulator.poison import poison
from clusterlite.testing.simulator.world import World

WINDOW_POSITIONS: Final = 100
TRIMMED_BACK_MAX: Final = 40
"""How far behind the newest replica the log's beginning stays, in positions, at most."""


class Others:
    """Writes past the nodes.

    Args:
        world: gives time and chance.
        store: that is written.
        plan: of the run.
        recorder: of the history; a write of a row stands in it.
    """

    def __init__(self, world: World, store: Store, plan: Plan, recorder: Recorder) -> None:
        self._world = world
        self._store = store
        self._plan = plan
        self._recorder = recorder
        self.cluster = ""

    def set_window(self) -> None:
        """The operator has event ids be remembered for less long."""
        if self._plan.window_s:
            settings = {"window_positions": WINDOW_POSITIONS, "window_s": self._plan.window_s}
            self._write("SETTINGS", settings)

    def poison(self) -> None:
        """Some other program writes something."""
        world = self._world
        records = [world.random.choice(self._store.records) for _ in range(3)]
        events = [codec.decode(record.value, record.position) for record in records]
        known = [event.id for event in events if event is not None]
        kind, value = poison(world.random, self.cluster, self._plan.keys, known)
        world.sometimes[f"poison: {kind}"] += 1
        self._store.write([value])

    def forge(self) -> None:
        """A checkpoint that no replica gave, in the cluster's name."""
        world = self._world
        marks = self._store.end // MARK_EVERY
        mark = world.random.randint(0, marks) * MARK_EVERY
        forged = Checkpoint(mark, world.random.randbytes(32), "node-9", "nobody")
        world.sometimes["checkpoint forged"] += 1
        self._write("CHECKPOINT", forged.to_json())

    def trim(self, reached: int) -> None:
        """The log's older records are deleted, as far as some replica has them."""
        first = reached + 1 - self._world.random.randint(0, TRIMMED_BACK_MAX)
        if first > self._store.first:
            self._world.sometimes["log trimmed"] += 1
            self._store.first = first

    def pass_mark(self) -> None:
        """Nothing new, beyond the next mark."""
        self._store.leap(MARK_EVERY)
        self._write("BARRIER", {})

    def write_again(self) -> None:
        """Producers that were away for long write what they have in hand."""
        records = [r for r in self._store.records if b'"operation":"GENESIS"' not in r.value]
        count = min(len(records), self._world.random.randint(5, 30))
        again = self._world.random.sample(records, count)
        self._store.write([record.value for record in again])

    def put(self, table: str, row: dict[str, Any]) -> None:
        """A program that knows no format writes a row."""
        event = {"operation": "UPDATE", "table_name": table, "data": row}
        self._store.write([json.dumps({"id": self._world.new_id(), **event}).encode()])

    def patch(self, table: str, key: str, fields: dict[str, Any]) -> None:
        """A client whose answer nobody waits for changes a row."""
        request = {"table": table, "key": key, "fields": fields}
        stamp = self._stamp()
        call = self._recorder.begin("operator", "patch", request, event=stamp.id)
        self._store.write([codec.encode(stamp, "PATCH", table, {"id": key, **fields})])
        call.unknown()

    def _write(self, operation: str, data: dict[str, Any]) -> None:
        self._store.write([codec.encode(self._stamp(), operation, "", data)])

    def _stamp(self) -> Stamp:
        world, store = self._world, self._store
        return Stamp(world.new_id(), world.timestamp(), self.cluster, "elsewhere", store.end - 1)
