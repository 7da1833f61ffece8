"""How a node comes up: catch up with the log, agree on the cluster, declare the entities.

    catching_up --position >= tail--> founding --GENESIS applied--> declaring --all--> ready

An empty replica reads to the tail before it proposes anything: a log that has a GENESIS keeps
it. Two nodes that start at once may both propose; the first in log order wins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.names import fold
from clusterlite.core.outcome import REJECTED, REJECTIONS, Applied, Outcome
from clusterlite.core.registry import EntityRegistry
from clusterlite.core.schema import Incompatible, Table, check_spelling, evolve
from clusterlite.errors import ClusterLiteError, Halt, LogError, SchemaRefused
from clusterlite.log.base import Log
from clusterlite.node.answers import Answer, Reached, Submission
from clusterlite.node.engine import Engine
from clusterlite.node.machine import THIS_MACHINE, Machine
from clusterlite.replica.applier import Applier
from clusterlite.telemetry import get_logger

WAIT_S: Final = 30.0
RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
"""Pauses between two tries: each twice as long as the one before."""

_ROWS_DO_NOT_FIT: Final = (
    "change these rows first, with the code that wrote them, or declare the field as it was"
)

_log = get_logger("clusterlite.node")


class Startup:
    """One start of a node; its methods run in the engine's turn.

    Args:
        log: the node's.
        applier: read between batches only.
        registry: the entities to declare.
        node: the node's name.
        cluster: that the operator expects; empty to take whichever is there.
        finished: called once, when the node is ready.
        machine: gives clock, ids and times.
    """

    def __init__(
        self,
        log: Log,
        applier: Applier,
        registry: EntityRegistry,
        node: str,
        cluster: str,
        finished: Callable[[], None],
        machine: Machine = THIS_MACHINE,
    ) -> None:
        self.phase = "opening"
        self._log = log
        self._applier = applier
        self._tables = [operations.create_table() for operations in registry]
        self._node = node
        self._cluster = cluster
        self._finished = finished
        self._machine = machine
        self._busy = False
        self._retry_at = 0.0
        self._retry_s = RETRY_MIN_S
        self._proposed: set[str] = set()

    def advance(self, engine: Engine) -> None:
        """Go as far as is known; called after every batch and answer."""
        if self.phase == "ready" or engine.follower is None or self._busy:
            return
        if engine.is_over or engine.doubt is not None:
            return
        if self._machine.clock() < self._retry_at:
            return
        if self.phase == "opening":
            self.phase = "catching_up"
        if self.phase == "catching_up":
            self._busy = True
            engine.await_tail(
                self._machine.clock() + WAIT_S, lambda answer: self._caught_up(engine, answer)
            )
        elif self.phase == "founding":
            self._found(engine)
        elif self.phase == "declaring":
            self._declare(engine)

    def _caught_up(self, engine: Engine, answer: Answer) -> None:
        self._busy = False
        if not isinstance(answer, Reached):
            self._try_later()
            return
        self._retry_s = RETRY_MIN_S
        self.phase = "founding"
        engine.loop.post(lambda: self.advance(engine))

    def _try_later(self) -> None:
        self._retry_at = self._machine.clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    def _found(self, engine: Engine) -> None:
        cluster = self._applier.committed.cluster
        if cluster:
            if self._cluster not in {"", cluster}:
                engine.halt(
                    Halt(
                        "wrong_log",
                        f"the log belongs to the cluster {cluster}, not to {self._cluster}",
                        f"Point --log at the log of {self._cluster}; to follow this one, start "
                        f"with --cluster {cluster}",
                    )
                )
                return
            self.phase = "declaring"
            self._declare(engine)
            return
        try:
            trimmed = self._applier.committed.position < 0 and self._log.bounds().first > 0
        except LogError:  # whoever follows the log says so
            self._try_later()
            return
        if trimmed:
            engine.halt(
                Halt(
                    "log_gap",
                    "the log was trimmed and this replica is empty",
                    "Give the node a data folder that has what was trimmed: a copy of another "
                    "node's, for example",
                )
            )
            return
        proposed = self._cluster or self._machine.new_id()
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
                found = "another node declares it in another way: make their entities equal"
                engine.halt(SchemaRefused(f"table {table.name}: {found}"), "refused")
                return
            stamp = self._stamp(self._applier.committed.cluster)
            record = codec.encode(stamp, "SCHEMA", table.name, table.to_json())
            self._submit(engine, stamp.id, record, table)
            return
        for table in self._tables:
            self._warn_of_missing(table)
        self.phase = "ready"
        self._finished()

    @staticmethod
    def _changes(engine: Engine, current: Table, proposed: Table) -> bool:
        try:
            check_spelling(current, proposed)
            return evolve(current, proposed, 0).changed
        except Incompatible as error:
            engine.halt(SchemaRefused(str(error)), "refused")
            return True

    def _warn_of_missing(self, table: Table) -> None:
        """Older code may lack a field and reads on; what it creates is rejected at apply."""
        current = self._applier.committed.tables[fold(table.name)].schema
        for column in current.columns:
            if fold(column.name) in table.by_name or not column.required or column.has_default:
                continue
            _log.warning(
                "field_missing",
                table=table.name,
                field=column.name,
                detail="the log requires it and the entity lacks it: creates are rejected",
                cure=f"declare {column.name} again, as it was; a field is never removed",
            )

    def _submit(self, engine: Engine, event_id: str, record: bytes, table: Table | None) -> None:
        self._busy = True
        deadline = self._machine.clock() + WAIT_S

        def answered(answer: Answer) -> None:
            self._busy = False
            if isinstance(answer, Applied):
                outcome = answer.outcome
                if outcome.verdict == REJECTED:
                    engine.halt(SchemaRefused(_why_rejected(outcome, table)), "refused")
                    return
                if table is not None:
                    self._proposed.add(fold(table.name))
            elif isinstance(answer, ClusterLiteError):
                self._try_later()
            engine.loop.post(lambda: self.advance(engine))

        engine.submit(Submission(event_id, record, answered, deadline))

    def _stamp(self, cluster: str) -> Stamp:
        machine = self._machine
        after = max(self._applier.committed.position, -1)
        return Stamp(machine.new_id(), machine.timestamp(), cluster, self._node, after)


def _why_rejected(outcome: Outcome, table: Table | None) -> str:
    """The rejection of a declaration, with its place and what to do."""
    code = outcome.code or ""
    detail = outcome.detail or REJECTIONS.get(code, code)
    if table is None or f"table {table.name}" in detail:
        return detail
    place = f"field {outcome.field} of table {table.name}" if outcome.field else table.name
    becomes_unique = any(column.unique and column.name == outcome.field for column in table.columns)
    cure = f"; {_ROWS_DO_NOT_FIT}" if code == "not_adoptable" or becomes_unique else ""
    return f"{place}: {detail}{cure}"
