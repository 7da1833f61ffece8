"""A simulated node: the product's own runtime, stepped by the world.

Real: folder, lock, SQLite file, applier, follower, engine, start-up, guard's look, identity
check, refusals. Simulated: the loop's sleep, threads, clock, ids, the log, and what ends it all.

A crash is an exception that nothing catches, raised at a step of the node; then the process's
memory is dropped and the file stays as it was committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Final

import apsw

from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import ClusterLiteError, Halt
from clusterlite.node.engine import OVER
from clusterlite.node.guard import BOUNDS_EVERY_S
from clusterlite.node.loop import Ticks
from clusterlite.node.machine import Machine, Running
from clusterlite.node.runtime import Runtime
from clusterlite.replica.database import open_reader
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.reader import Reader
from clusterlite.replica.state import load_state
from clusterlite.testing.simulator import operator
from clusterlite.testing.simulator.log import SimulatedLog, Store
from clusterlite.testing.simulator.plan import Plan
from clusterlite.testing.simulator.world import World

STEPS: Final = (
    "now",
    "open",
    "before append",
    "after append",
    "read",
    "before commit",
    "after commit",
)
"""Where a node may crash. After a commit and before its answers is where the first one is given."""

_TIRED_S: Final = 1.0
"""How long an armed crash waits for its step, before it comes at any."""

_REFUSALS: Final[tuple[Callable[[], apsw.Error], ...]] = (
    lambda: apsw.FullError("FullError: database or disk is full"),
    lambda: apsw.BusyError("BusyError: database is locked"),
    lambda: apsw.NoMemError("NoMemError: out of memory"),
    lambda: apsw.IOError("IOError: disk I/O error"),
    lambda: apsw.CorruptError("CorruptError: database disk image is malformed"),
)

_OTHER_LOGS: Final = ("wrong_log", "log_rewound", "log_gap", "another record", "too_new")
"""What a node that starts may find in place of its own log."""


class Crash(BaseException):
    """The process is gone. No part of the product may catch it and go on."""


class SimulatedLoop:
    """A loop that does not sleep: `node.loop.Ticks`.

    Args:
        wake: asks for a tick.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._calls: deque[Callable[[], None]] = deque()
        self._ended = False
        self.listens = False

    def post(self, call: Callable[[], None]) -> bool:
        """See `Ticks`."""
        if self._ended:
            return False
        self._calls.append(call)
        self._wake()
        return True

    def watch(
        self,
        file: int | IO[bytes],  # noqa: ARG002
        readable: Callable[[], None],  # noqa: ARG002
        writable: Callable[[], None] | None = None,  # noqa: ARG002
    ) -> None:
        """See `Ticks`; the log's bell is all that there is."""
        self.listens = True

    def forget(self, file: int) -> None:  # noqa: ARG002
        """See `Ticks`."""
        self.listens = False

    def tick(self, timeout_s: float) -> None:  # noqa: ARG002
        """See `Ticks`."""
        calls = self._calls
        for _ in range(len(calls)):
            calls.popleft()()

    def end(self) -> None:
        """See `Ticks`."""
        self._ended = True
        while self._calls:
            self._calls.popleft()()

    def close(self) -> None:
        """See `Ticks`."""


class _Driven:
    """What the runtime takes for a running thread.

    Args:
        finish: brings it to its end.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish

    def join(self, timeout: float | None = None) -> None:  # noqa: ARG002
        self._finish()

    def is_alive(self) -> bool:
        return True


class SimulatedNode:
    """One data folder, with the processes that live on it one after another.

    Args:
        world: gives time and chance.
        store: the log's records.
        plan: how often what fails.
        name: of the node.
        folder: its data folder.
        registry: the entities.
        hashes: running hash by position, shared with the others: equal at equal positions.
    """

    def __init__(
        self,
        world: World,
        store: Store,
        plan: Plan,
        name: str,
        folder: Path,
        registry: EntityRegistry,
        hashes: dict[int, bytes],
    ) -> None:
        self.name = name
        self.plan = plan
        self.boot = 0
        self.alive = False
        self.runtime: Runtime
        self.reader: Reader
        self._world = world
        self._store = store
        self.folder = folder
        self.damaged = False
        """Whether its file was overwritten while it was down."""
        self._registry = registry
        self._hashes = hashes
        self._skew_s = world.between(-100, 100)
        self._due = -1.0
        self._cut_until = 0.0
        self._paused_until = 0.0
        self._armed = ""
        self._armed_at = 0.0
        self._stepping = False
        self._followed = False
        self._excused: set[str] = set()
        self._was_in_trouble = ""
        self._was_in_doubt = False
        self._halted_for = ""
        self._was_ready = False
        self._doubtful_disk = False
        self._racing = False
        self._end_at_start = -1
        self.wrong = False
        """Whether its replica was made wrong: then it must find out."""
        self.healed = False

    # Life and death.

    def start(self) -> None:
        """A new process on the folder."""
        world = self._world
        self.boot += 1
        self._due = -1.0
        self._was_in_trouble = ""
        self._was_in_doubt = self._was_ready = self._doubtful_disk = False
        self._end_at_start = self._store.records[-1].position if self._store.records else -1
        posing_as = ""
        if self._followed and not self.healed and world.chance(self.plan.wrong_log):
            # An empty replica follows whatever log it is shown.
            posing_as = world.random.choice(_OTHER_LOGS) if self.reached >= 0 else ""
        self._excused = {"wrong_log" if posing_as == "another record" else posing_as}
        self.alive = True
        boot = self.boot
        self.log = SimulatedLog(
            world,
            self._store,
            self.plan,
            self._passes,
            lambda: world.now >= self._cut_until,
            lambda: self._ring(boot),
            posing_as,
        )
        machine = Machine(
            world.clock,
            world.new_id,
            lambda: world.timestamp(self._skew_s),
            self._make_loop,
            self._start,
        )
        self.runtime = Runtime(self.folder, self.log, self._registry, self.name, "", machine)
        try:
            self.runtime.open(link=False)
        except Halt as halt:
            self._refuses_to_start(halt)
            return
        self.reader = Reader(self.runtime.replica)
        self.reader._connection.exec_trace = self._between_statements
        self.runtime._connection.exec_trace = self._writes
        self.runtime._connection.set_commit_hook(self._committing)
        world.note(f"{self.name} starts {boot} {posing_as}")
        self.runtime.engine.start()
        world.at(BOUNDS_EVERY_S, lambda: self._guard(boot))

    def _refuses_to_start(self, halt: Halt) -> None:
        """The file is not as it must be: the operator takes it away."""
        self.alive = False
        self._world.sometimes[f"halt {halt.reason}"] += 1
        self._halted_for = halt.reason
        if not self.damaged:
            self._world.violations.append(f"I10: {self.name} does not start: {halt}")
        self.damaged = False
        operator.reset(self.folder)

    def stop(self) -> None:
        """End orderly, as at a signal."""
        self._world.note(f"{self.name} stops")
        try:
            self.runtime.close()
        except Crash:
            self.die()
            return
        self.alive = False
        self.reader.close()

    def die(self) -> None:
        """The process is gone: its memory with it, what it committed stays."""
        self._world.note(f"{self.name} dies")
        self.alive = False
        self._armed = ""
        self.log.close()
        self.reader.close()
        connection = self.runtime._connection
        connection.set_commit_hook(None)
        # The WAL stays as it is, and the next start reads it: so it is after a kill.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
        self.runtime._folder.unlock()

    def crash(self, step: str) -> None:
        """Let the process die at its next such step."""
        if not self.alive:
            return
        if step == "now":
            self._world.sometimes["crash now"] += 1
            self.die()
        else:
            self._armed, self._armed_at = step, self._world.now

    def cut(self, seconds: float) -> None:
        """Keep the node from the log."""
        self._world.sometimes["node cut from the log"] += 1
        self._cut_until = self._world.now + seconds

    def pause(self, seconds: float) -> None:
        """Let the process stand still."""
        self._world.sometimes["node paused"] += 1
        self._paused_until = self._world.now + seconds

    def heal(self, plan: Plan) -> None:
        """From now on nothing fails."""
        self.healed = True
        self.plan = plan
        self._armed = ""
        self._cut_until = self._paused_until = 0.0
        if self.alive:
            self.log.weather = plan

    def _passes(self, step: str) -> None:
        if not self._armed or not self._stepping:
            return
        if step == self._armed or self._world.now > self._armed_at + _TIRED_S:
            self._world.sometimes[f"crash at {step}"] += 1
            self._armed = ""
            raise Crash(step)

    def _committing(self) -> bool:
        self._passes("before commit")
        if self._doubtful_disk:
            self._world.violations.append(
                f"I10: {self.name} commits again after a commit failed with an I/O error"
            )
        if self._stepping and self._world.chance(self.plan.commit_fails):
            error = self._world.random.choice(_REFUSALS)()
            self._world.sometimes[f"commit refused {type(error).__name__}"] += 1
            if isinstance(error, apsw.IOError | apsw.CorruptError):
                io = isinstance(error, apsw.IOError)
                self._excused.add("replica_io" if io else "replica_corrupt")
                self._doubtful_disk = True
            raise error
        return False

    def _writes(self, _cursor: object, sql: str, _bindings: object) -> bool:
        if sql == "ROLLBACK TO grouped":
            self._world.sometimes["group that fell back"] += 1
        return True

    def _between_statements(self, cursor: object, sql: str, _bindings: object) -> bool:
        """A reader is about to run a statement: a batch may be applied just before."""
        del cursor  # an error that is kept keeps this frame, and a cursor keeps its snapshot
        if self._stepping or self._racing or not self._world.chance(self.plan.read_races):
            return True
        if sql.startswith("SELECT") and self.alive and self._world.now >= self._paused_until:
            self._world.sometimes["batch applied during a read"] += 1
            armed, self._armed = self._armed, ""
            self._stepping = self._racing = True
            try:
                self.runtime.engine.step()
            finally:
                self._stepping = self._racing = False
                self._armed = armed
            self._look()
        return True

    # What the machine does.

    def _make_loop(self, _guard: AbstractContextManager[object]) -> Ticks:
        self.loop = SimulatedLoop(self._soon)
        return self.loop

    def _start(self, run: Callable[[], None], name: str) -> Running:
        if name == "clusterlite-derive":
            run()  # what it finds is posted to the loop
        return _Driven(self._finish if name == "clusterlite-engine" else _nothing)

    def _finish(self) -> None:
        engine = self.runtime.engine
        self._stepping = True
        try:
            while engine.step():
                pass
            engine.end()
        finally:
            self._stepping = False

    def _soon(self) -> None:
        if not self._stepping:
            self._wake(self._hurry_s)

    @property
    def _hurry_s(self) -> float:
        return self._world.between(self.plan.node_s / 10, self.plan.node_s)

    def _ring(self, boot: int) -> None:
        if boot == self.boot and self.loop.listens and not self._stepping:
            self._wake(self._hurry_s + self._world.between(0, 0.001))

    def _wake(self, delay_s: float) -> None:
        world = self._world
        due = max(world.now + delay_s, self._paused_until)
        if self._due < 0 or due < self._due:
            self._due = due
            boot = self.boot
            world.at(due - world.now, lambda: self._step(boot, due))

    def _step(self, boot: int, due: float) -> None:
        if boot != self.boot or due != self._due or not self.alive:
            return
        self._due = -1.0
        engine = self.runtime.engine
        self._stepping = True
        try:
            engine.step()
        except Crash:
            self._stepping = False
            self.die()
            return
        finally:
            self._stepping = False
        self._look()
        busy = bool(self.loop._calls)
        self._wake(self._hurry_s if busy else max(engine.sleep_s, 0.0001))

    def _guard(self, boot: int) -> None:
        guard = self.runtime.guard
        if boot != self.boot or not self.alive:
            return
        if guard is None or guard.check():
            self._world.at(BOUNDS_EVERY_S, lambda: self._guard(boot))

    # What is looked at after every step.

    def _look(self) -> None:
        committed = self.runtime.applier.committed
        if committed.position >= 0:
            self._followed = True
            known = committed.hash
            if not self.wrong:
                known = self._hashes.setdefault(committed.position, committed.hash)
            if known != committed.hash:
                self._world.violations.append(
                    f"I5: at position {committed.position} {self.name} has another running hash"
                )
        newer = self.log.newer
        if newer is not None and committed.position >= newer:
            self._world.violations.append(
                f"I10: {self.name} went past {newer}, a record of a newer build"
            )
            self.log.newer = None
        if self.runtime._ready.is_set() != self._was_ready:
            self._became_ready(committed.position)
        doubted = self.runtime.engine.doubt is not None
        if doubted != self._was_in_doubt:
            self._was_in_doubt = doubted
            self._world.sometimes["checking" if doubted else "recovered from checking"] += 1
        trouble = self.runtime.engine.trouble
        state = "" if trouble is None else trouble.state
        if state == self._was_in_trouble:
            return
        if state == "" and self._was_in_trouble:
            self._world.sometimes[f"recovered from {self._was_in_trouble}"] += 1
        self._was_in_trouble = state
        if trouble is not None and state in OVER:
            self._halted(trouble.error)

    def _became_ready(self, position: int) -> None:
        self._was_ready = True
        if position < self._end_at_start:
            self._world.violations.append(
                f"I12: {self.name} is ready at {position}, and the log had {self._end_at_start} "
                "when it started"
            )
        if self._halted_for:
            self._world.sometimes[f"recovered from halt {self._halted_for}"] += 1
            self._halted_for = ""

    def _halted(self, error: ClusterLiteError) -> None:
        reason = error.reason if isinstance(error, Halt) else error.code
        self._world.note(f"{self.name} halts {reason}")
        self._world.sometimes[f"halt {reason}"] += 1
        self._halted_for = reason
        if reason == "log_gap" and self.position < self._store.first - 1:
            return
        if reason == "diverged" and self.wrong:
            return
        if reason not in self._excused:
            self._world.violations.append(f"I10: {self.name} halts without a cause: {error}")

    @property
    def halted_for(self) -> str:
        """Why it halted last, empty once it has come up again."""
        return self._halted_for

    @property
    def halted(self) -> bool:
        """Whether the process waits for its operator."""
        return self.alive and self._was_in_trouble in OVER

    @property
    def position(self) -> int:
        """Of the last record applied and committed, as far as the process tells."""
        return self.runtime.seen.position if self.alive else -1

    @property
    def reached(self) -> int:
        """Position of its replica's file, -1 where there is none that can be read."""
        if self.alive:
            return self.runtime.applier.committed.position
        try:
            connection = open_reader(DataFolder(self.folder).replica)
        except apsw.Error:
            return -1
        try:
            return load_state(connection).position
        except apsw.Error:
            return -1
        finally:
            connection.close()

    def answering(self) -> None:
        """An answer is about to be given: after a commit, and before anybody knows of it."""
        self._passes("after commit")


def _nothing() -> None:
    """Nothing is left to do."""
