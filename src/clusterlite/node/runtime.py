"""What a node is made of, opened and closed in order.

folder lock -> replica -> applier -> engine thread (opens the log) -> startup -> ready
                                        |-> guard, once the log is open
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Container
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import apsw

import clusterlite
from clusterlite.core.names import fold
from clusterlite.core.registry import EntityRegistry
from clusterlite.core.schema import Table
from clusterlite.errors import ConfigError, Halt, LogError, LogUnavailable, NotServing
from clusterlite.log.base import Bounds, Log
from clusterlite.node import frames
from clusterlite.node.answers import Answer, Reply, Submission
from clusterlite.node.checkpoints import Checkpoints
from clusterlite.node.engine import OVER, Engine
from clusterlite.node.follower import Follower, Seen, Strained, classified
from clusterlite.node.forks import FORKED
from clusterlite.node.guard import Guard
from clusterlite.node.identity import check_identity
from clusterlite.node.link import LinkServer
from clusterlite.node.machine import THIS_MACHINE, Machine, Running
from clusterlite.node.startup import Startup
from clusterlite.replica.applier import Applier
from clusterlite.replica.database import open_writer
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.state import load_identity, store_identity, take_over
from clusterlite.telemetry import get_logger

_logger = get_logger("clusterlite.node")

LAG_MAX: Final = 10_000
"""Records that a ready node may be behind the end of its log."""

_CURES: Final = {
    "opening": "Is it the right one in --log? The node goes on by itself once the log answers",
    "log_unreachable": "Look at the log; the node goes on by itself once it answers",
    "refused": "Mend it, then start the node again",
}


class Runtime:
    """The parts of one node.

    Args:
        data: the data folder.
        log: an adapter, not opened.
        registry: entities to declare.
        node_id: for people.
        cluster: that the log must have; empty for any.
        machine: that it runs on.
    """

    def __init__(
        self,
        data: Path,
        log: Log,
        registry: EntityRegistry,
        node_id: str,
        cluster: str,
        machine: Machine = THIS_MACHINE,
    ) -> None:
        self._folder = DataFolder(data)
        self._log = log
        self._registry = registry
        self._node_id = node_id
        self._cluster = cluster
        self._machine = machine
        self._incarnation = machine.new_id()
        self._ready = threading.Event()
        self._changed = threading.Condition()
        self._thread: Running | None = None
        self.guard: Guard | None = None
        self._guarding: Running | None = None
        self._link: LinkServer | None = None
        self._bounds: Bounds | None = None
        self._applier: Applier | None = None
        self._engine: Engine | None = None
        self._forked = False

    def open(self, *, link: bool) -> None:
        """Start everything; see `Node.open`."""
        if self._applier is not None:
            raise ConfigError("a node is opened once: make a new one on the same folder")
        with ExitStack() as undo:
            self._folder.lock()
            undo.callback(self._folder.unlock)
            self.replica = self._folder.replica
            self._connection = open_writer(self.replica, doubted=self._folder.doubted)
            undo.callback(self._connection.close)
            self._folder.forget_doubt()
            self._folder.keep(self.replica)
            take_over(self._connection, self._node_id, self._incarnation)
            applier = Applier(self._connection, self._incarnation, self._registry)
            engine = Engine(self._log, self._make_follower, self._progressed, self._machine)
            undo.callback(engine.loop.close)
            self._startup = Startup(
                self._log,
                applier,
                self._registry,
                self._node_id,
                self._cluster,
                self._became_ready,
                self._machine,
            )
            self._checkpoints = Checkpoints(
                self._log,
                applier,
                engine,
                self._registry,
                self.replica,
                self._node_id,
                self._incarnation,
                self._machine,
            )
            engine.before_answers.append(self._checkpoints.compare)
            engine.after_tick.append(self._advance)
            self._applier, self._engine = applier, engine
            undo.callback(self._forget)
            self._checkpoints.open(self._connection)
            if link:
                self._link = LinkServer(
                    engine, self._submit, self._folder.socket, self._hello, self.status
                )
            undo.pop_all()
        self._thread = self._machine.start(engine.run, "clusterlite-engine")

    def _forget(self) -> None:
        self._applier = self._engine = None

    @property
    def applier(self) -> Applier:
        """Of the replica.

        Raises:
            NotServing: the node was not opened.
        """
        if self._applier is None or self._forked:
            raise self.not_open()
        return self._applier

    @property
    def engine(self) -> Engine:
        """Of the node.

        Raises:
            NotServing: the node was not opened.
        """
        if self._engine is None or self._forked:
            raise self.not_open()
        return self._engine

    def close(self) -> None:
        """Stop everything, in the reverse order; idempotent."""
        if self._thread is None:
            return
        self.engine.close()
        self._thread.join()
        self._thread = None
        self._checkpoints.close()
        if self.guard is not None:
            self.guard.close()
        if self._guarding is not None:
            self._guarding.join()
        if self._link is not None:
            self._link.close()
        self.engine.loop.close()
        self._connection.close()
        self._folder.unlock()

    def join(self, timeout_s: float | None) -> bool:
        """Wait for the engine's thread to end."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_open(self) -> bool:
        """Whether `open` was called, and `close` was not."""
        return self._thread is not None

    def not_open(self) -> NotServing:
        """The error of whoever uses the node while it is not open; says what to do."""
        if self._forked:
            return NotServing(FORKED)
        if self._applier is not None:
            return NotServing("the node is closed: make a new one on the same folder")
        return NotServing("the node is not open: use `with Node(…) as node:`, or call open()")

    def leave_to_parent(self) -> None:
        """In a forked process: this node is the parent's, and so is the folder."""
        self._forked = True
        self._thread = None
        self._folder.unlock()

    @property
    def seen(self) -> Seen:
        """The last record applied."""
        return Seen(self.applier.committed.position, b"") if not self.is_open else self._seen()

    def _seen(self) -> Seen:
        follower = self.engine.follower
        state = self.applier.committed
        return follower.seen if follower else Seen(state.position, state.record_hash)

    def table(self, name: str) -> Table | None:
        """A table as the log declares it, None where it does not.

        Raises:
            NotServing: the node is not open.
        """
        if not self.is_open:
            raise self.not_open()
        known = self.applier.committed.tables.get(fold(name))
        return None if known is None else known.schema

    def wait_ready(self, timeout_s: float) -> None:
        """Return once the node is ready.

        Raises:
            ClusterLiteError: why it will not be, or `NotServing` where it is not in time.
        """
        if self._ready.is_set():
            return
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._ready.is_set():
                if not self.is_open:
                    raise self.not_open()
                trouble = self.engine.trouble
                if trouble is not None and trouble.state in OVER:
                    raise trouble.error
                left = deadline - time.monotonic()
                if left <= 0:
                    where = f"{self._startup.phase} at position {self.seen.position}"
                    late = NotServing(f"the node was not ready after {timeout_s:g} s: {where}")
                    raise late if trouble is None else trouble.error
                self._changed.wait(left)

    def submit(self, submission: Submission) -> None:
        """Hand an event to the engine, from any thread."""
        posted = self.is_open and self.engine.loop.post(lambda: self._submit(submission))
        if not posted:
            submission.reply(self.not_open())

    def _submit(self, submission: Submission) -> None:
        """Nobody writes before the node has caught up: it might be the wrong log."""
        engine = self.engine
        trouble = engine.trouble
        if self._ready.is_set() or engine.is_over:
            engine.submit(submission)
        elif trouble is not None and trouble.state == "log_unreachable":
            submission.reply(LogUnavailable(str(trouble.error)))
        else:
            submission.reply(NotServing("the node is catching up with its log"))

    def ask_tail(self, wait_s: float) -> Future[Answer]:
        """Ask for all that was acknowledged before this call, from any thread."""
        return self._ask(wait_s, Engine.await_tail)

    def ask_position(self, position: int, wait_s: float) -> Future[Answer]:
        """Ask for the state at a position or a later one, from any thread."""
        return self._ask(
            wait_s, lambda engine, deadline, reply: engine.await_position(position, deadline, reply)
        )

    def _ask(self, wait_s: float, ask: Callable[[Engine, float, Reply], None]) -> Future[Answer]:
        future: Future[Answer] = Future()
        deadline = self._machine.clock() + wait_s
        posted = self.is_open and self.engine.loop.post(
            lambda: ask(self.engine, deadline, future.set_result)
        )
        if not posted:
            future.set_result(self.not_open())
        return future

    def status(self) -> dict[str, Any]:
        """The node in JSON; see `GET /-/cluster`."""
        state = self.applier.committed
        position, running = state.position, state.hash
        bounds = self._bounds
        end = max(bounds.end if bounds else 0, position + 1)
        lag = end - 1 - position
        return {
            "node": self._node_id,
            "cluster": state.cluster,
            "incarnation": self._incarnation,
            "pid": os.getpid(),
            "version": clusterlite.__version__,
            "state": self._state(lag),
            "reason": self._reason(),
            "position": position,
            "hash": running.hex(),
            "wal_bytes": self.applier.wal.bytes,
            "lag": lag,
            "verified": self._checkpoints.verified,
            "refuted": self._checkpoints.refuted,
            "log": {
                "url": self._log.url,
                "kind": self._log.url.partition(":")[0],
                "end": end,
                "caveat": self._log.caveat,
            },
            "tables": sorted(table.schema.name for table in state.tables.values()),
        }

    def _state(self, lag: int) -> str:
        trouble = self.engine.trouble
        if self.engine.doubt is not None and not self.engine.is_over:
            return "checking"
        if trouble is not None:
            return trouble.state
        if self._startup.phase != "ready":
            return self._startup.phase
        return "lagging" if lag > LAG_MAX else "ready"

    def _reason(self) -> dict[str, str] | None:
        """Why nothing is acknowledged now; the states that pass give it their own name."""
        trouble, doubt = self.engine.trouble, self.engine.doubt
        if doubt is not None and not self.engine.is_over:
            return self._checkpoints.reason
        if trouble is not None:
            error = trouble.error
            reason = error.reason if isinstance(error, Halt) else error.code
            cure = _CURES.get(trouble.state, "")
            if isinstance(error, Halt | LogUnavailable | Strained):
                return {"reason": reason, "detail": error.detail, "cure": error.cure or cure}
            return {"reason": reason, "detail": str(error), "cure": cure}
        if self._startup.phase == "opening":
            waits = f"the node waits for its log {self._log.url}"
            return {"reason": "opening", "detail": waits, "cure": _CURES["opening"]}
        return None

    # On the engine's or the follower's thread.

    def _make_follower(self, wanted: Container[str]) -> Follower:
        self._log.open()
        state = self.applier.committed
        seen = Seen(state.position, state.record_hash)
        identity = check_identity(self._log, load_identity(self._connection), seen)
        try:
            store_identity(self._connection, identity, state.position)
        except apsw.Error as error:
            raise classified(error) from error
        follower = Follower(self._log, self.applier, wanted)
        clock = self._machine.clock
        guard = Guard(self._log, identity, lambda: follower.seen, self._report, clock)
        self.guard = guard
        self._guarding = self._machine.start(guard.run, "clusterlite-guard")
        return follower

    def _report(self, found: Bounds | LogError | Halt) -> None:
        if isinstance(found, Bounds):
            self._bounds = found
            try:
                self._folder.check_there()
            except Halt as gone:
                found = gone
        self.engine.loop.post(lambda: self._reported(found))

    def _reported(self, found: Bounds | LogError | Halt) -> None:
        if not isinstance(found, Bounds):
            self.engine.fail(found)
        elif self.engine.trouble is not None and self.engine.trouble.state == "log_unreachable":
            self.engine.fail(None)

    def _advance(self) -> None:
        self._startup.advance(self.engine)
        self._checkpoints.advance(ready=self._ready.is_set())

    def _became_ready(self) -> None:
        self._ready.set()
        _logger.info("ready", node=self._node_id, position=self.seen.position, log=self._log.url)
        self._progressed()

    def _progressed(self) -> None:
        with self._changed:
            self._changed.notify_all()
        trouble = self.engine.trouble
        state = "" if trouble is None else trouble.state
        if state == "log_unreachable" != self._troubled and self.guard is not None:
            self.guard.look()
        if trouble is not None and state == "halted" != self._troubled:
            self._folder.note_doubt(trouble.error)
        self._troubled = state
        if self._link is not None:
            told = self._ready.is_set(), self.applier.committed.cluster
            if told != self._greeted:
                self._greeted = told
                self._link.greet()

    _greeted: tuple[bool, str] = (False, "")
    _troubled = ""

    def _hello(self) -> frames.Hello:
        return frames.Hello(
            frames.PROTOCOL,
            self._node_id,
            self._incarnation,
            self.applier.committed.cluster,
            os.fspath(self.replica.absolute()),
            self._log.record_bytes_max if self.engine.follower else 0,
            self._ready.is_set(),
            self.seen.position,
        )
