"""How a node comes up: catch up with the log, agree on the cluster, declare the entities.

    catching_up --position >= tail--> founding --GENESIS applied--> declaring --all--> ready

An empty replica reads to the tail before it proposes anything: a log that has a GENESIS keeps
it. Two nodes that start at once may both propose; the first in log order wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.names import fold
from clusterlite.core.outcome import REJECTED, Applied
from clusterlite.core.registry import EntityRegistry
from clusterlite.core.schema import Incompatible, Table, evolve
from clusterlite.errors import ClusterLiteError, Halt, SchemaRefused
from clusterlite.log.base import Log
from clusterlite.node.answers import Answer, Reached, Submission
from clusterlite.node.engine import OVER, Engine
from clusterlite.node.ids import timestamp, uuid7
from clusterlite.replica.applier import Applier

WAIT_S: Final = 30.0
RETRY_S: Final = 0.5


class Startup:
    """One start of a node; its methods run on the engine's thread.

    Args:
        log: the node's.
        applier: read between batches only.
        registry: the entities to declare.
        node: the node's name.
        cluster: that the operator expects; empty to take whichever is there.
        finished: called once, when the node is ready.
    """

    def __init__(
        self,
        log: Log,
        applier: Applier,
        registry: EntityRegistry,
        node: str,
        cluster: str,
        finished: Callable[[], None],
    ) -> None:
        self.phase = "opening"
        self._log = log
        self._applier = applier
        self._tables = [operations.create_table() for operations in registry]
        self._node = node
        self._cluster = cluster
        self._finished = finished
        self._busy = False
        self._retry_at = 0.0
        self._proposed: set[str] = set()

    def advance(self, engine: Engine) -> None:
        """Go as far as is known; called after every batch and answer."""
        if self.phase == "ready" or engine.follower is None or self._busy:
            return
        if engine.trouble is not None and engine.trouble.state in OVER:
            return
        if time.monotonic() < self._retry_at:
            return
        if self.phase == "opening":
            self.phase = "catching_up"
        if self.phase == "catching_up":
            self._busy = True
            engine.await_tail(
                time.monotonic() + WAIT_S, lambda answer: self._caught_up(engine, answer)
            )
        elif self.phase == "founding":
            self._found(engine)
        elif self.phase == "declaring":
            self._declare(engine)

    def _caught_up(self, engine: Engine, answer: Answer) -> None:
        self._busy = False
        if not isinstance(answer, Reached):
            self._retry_at = time.monotonic() + RETRY_S
            return
        self.phase = "founding"
        engine.loop.post(lambda: self.advance(engine))

    def _found(self, engine: Engine) -> None:
        cluster = self._applier.committed.cluster
        if cluster:
            if self._cluster not in {"", cluster}:
                engine.halt(
                    Halt(
                        "wrong_log",
                        f"the log belongs to the cluster {cluster}, not to {self._cluster}",
                        "Check --log and the configured cluster id",
                    )
                )
                return
            self.phase = "declaring"
            self._declare(engine)
            return
        if self._applier.committed.position < 0 and self._log.bounds().first > 0:
            engine.halt(
                Halt(
                    "log_gap",
                    "the log was trimmed and this replica is empty",
                    "Start from a snapshot of another node",
                )
            )
            return
        proposed = self._cluster or uuid7()
        settings = {
            "level": self._applier.committed.level,
            "window_positions": self._applier.committed.window_positions,
            "window_s": self._applier.committed.window_ms // 1000,
        }
        stamp = self._stamp(proposed)
        self._submit(engine, stamp.id, codec.encode(stamp, "GENESIS", "", settings), None)

    def _declare(self, engine: Engine) -> None:
        for table in self._tables:
            name = fold(table.name)
            current = self._applier.committed.tables.get(name)
            if (
                current is not None
                and current.schema.declared
                and not self._changes(engine, current.schema, table)
            ):
                continue
            if engine.trouble is not None and engine.trouble.state == "refused":
                return
            if name in self._proposed:
                engine.halt(SchemaRefused(f"table {table.name}: its declaration had no effect"))
                return
            stamp = self._stamp(self._applier.committed.cluster)
            record = codec.encode(stamp, "SCHEMA", table.name, table.to_json())
            self._submit(engine, stamp.id, record, name)
            return
        self.phase = "ready"
        self._finished()

    @staticmethod
    def _changes(engine: Engine, current: Table, proposed: Table) -> bool:
        try:
            return evolve(current, proposed, 0).changed
        except Incompatible as error:
            engine.halt(SchemaRefused(str(error)), "refused")
            return True

    def _submit(self, engine: Engine, event_id: str, record: bytes, table: str | None) -> None:
        self._busy = True
        deadline = time.monotonic() + WAIT_S

        def answered(answer: Answer) -> None:
            self._busy = False
            if isinstance(answer, Applied):
                outcome = answer.outcome
                if outcome.verdict == REJECTED:
                    refused = SchemaRefused(outcome.detail or f"{table}: {outcome.code}")
                    engine.halt(refused, "refused")
                    return
                if table is not None:
                    self._proposed.add(table)
            elif isinstance(answer, ClusterLiteError):
                self._retry_at = time.monotonic() + RETRY_S
            engine.loop.post(lambda: self.advance(engine))

        engine.submit(Submission(event_id, record, answered, deadline))

    def _stamp(self, cluster: str) -> Stamp:
        return Stamp(
            uuid7(), timestamp(), cluster, self._node, max(self._applier.committed.position, -1)
        )
