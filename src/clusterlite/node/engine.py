"""The engine: has writes appended (`writes`), applies the log, answers, and says what is wrong.

    submit --> pending --append--> log --read--> apply --outcome--> reply

Threads:
1. The engine's own thread handles the link, the append, and the apply of a log with a doorbell.
2. A log without one (Kafka) is read and applied by a follower thread, a whole batch at a time.
   It answers those who waited by itself: waking the engine for that would cost them more.
3. The guard asks the log what may take long to answer.

The first two take turns (`_turn`) at everything here but sleeping, opening, reading and applying.

Invariants:
1. An event is answered with its outcome only after this replica applied it (I1, I8). Nothing is
   applied at the moment of append.
2. After a halt nothing is acknowledged any more (I10); reads go on without the engine. While the
   replica is in doubt it is the same, but for apply, which goes on.
3. Whoever waits is bounded in number (I14).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from clusterlite.core.outcome import Applied
from clusterlite.errors import (
    ClusterLiteError,
    ConfigError,
    Halt,
    LogError,
    LogUnavailable,
    NotServing,
    Overloaded,
)
from clusterlite.log.base import Log
from clusterlite.node.answers import Answer, Reached, Reply, Submission
from clusterlite.node.follower import Follower, FollowerThread, Seen, Strained
from clusterlite.node.machine import THIS_MACHINE, Machine
from clusterlite.node.waiting import Tails
from clusterlite.node.watermark import Watermark
from clusterlite.node.writes import Writes
from clusterlite.replica.applier import HaltedBatch
from clusterlite.telemetry import get_logger

WAITING_MAX: Final = 20_000
"""Positions that may be waited for, and strong reads; past it, `Overloaded`."""

OVER: Final = frozenset({"halted", "refused"})
"""States of trouble that do not go away."""

_EXPIRE_EVERY_S: Final = 0.05
_POLL_S: Final = 0.25
"""How long the engine sleeps at most while it follows by doorbell: a net, should a bell fail."""

_CONFIRM_S: Final = 5.0
"""How long one question whether the log takes appends again may take."""

_log = get_logger("clusterlite.node")


@dataclass(slots=True)
class Trouble:
    """Why writes cannot be acknowledged now.

    Args:
        state: `log_unreachable`, `strained`, `halted` or `refused`.
        error: what happened.
    """

    state: str
    error: ClusterLiteError


class Engine:
    """Drives one log and one replica.

    Args:
        log: opened by `run`'s thread or by the follower's.
        make_follower: opens the log where needed and gives the follower.
        progressed: called after every batch and every change of trouble, in the engine's turn.
        machine: gives the clock and the loop.
    """

    def __init__(
        self,
        log: Log,
        make_follower: Callable[[dict[str, Any]], Follower],
        progressed: Callable[[], None],
        machine: Machine = THIS_MACHINE,
    ) -> None:
        self._turn = threading.Lock()
        self._clock = machine.clock
        self.loop = machine.make_loop(self._turn)
        self._writes = Writes(log, self.loop.post)
        self.trouble: Trouble | None = None
        self.follower: Follower | None = None
        self.doubt: ClusterLiteError | None = None
        """Why the replica may be wrong, while that is looked into."""
        self.after_tick: list[Callable[[], None]] = []
        self.before_answers: list[Callable[[], None]] = []
        """Called after a batch was applied and before anybody is told, in the engine's turn."""
        self._log = log
        self._make_follower = make_follower
        self._progressed = progressed
        self._watermark = Watermark()
        self._tails = Tails()
        self._thread: FollowerThread | None = None
        self._inline = False
        self._confirming = False
        self._confirmed = False
        self._confirm_at = 0.0
        self._closing = False
        self._broken = False
        self._bell: int | None = None
        self._listening = False
        self._retry_at = 0.0
        self._expire_at = 0.0

    @property
    def seen(self) -> Seen:
        """The last record applied."""
        return Seen(-1, b"") if self.follower is None else self.follower.seen

    # What may be asked, in the engine's turn.

    def submit(self, submission: Submission) -> None:
        """Take an event: appended with the others of this tick, answered once it is applied.

        One whose id is waited for already joins the waiters.
        """
        if self._writes.joins(submission):
            return
        now = self._clock()
        refusal = self._refusal() or self._writes.crowded(submission, now)
        if refusal is not None:
            self._writes.refuse(submission, refusal)
        else:
            self._writes.take(submission, now)

    def await_position(self, position: int, deadline: float, reply: Reply) -> None:
        """Answer `Reached` once the replica has applied up to `position`."""
        if len(self._watermark) >= WAITING_MAX:
            reply(Overloaded("too many reads wait for a position"))
            return
        self._watermark.wait(position, deadline, reply)
        self._watermark.reached(self.seen.position)
        self._hurry()

    def await_tail(self, deadline: float, reply: Reply) -> None:
        """Answer `Reached` once the replica has all that was acknowledged before this call."""
        refusal = self._refusal()
        if refusal is not None:
            reply(refusal)
            return
        if len(self._tails) >= WAITING_MAX:
            reply(Overloaded("too many strong reads wait"))
            return
        self._tails.waiting.append((reply, deadline))
        self._begin_tail()

    def _awaited(self) -> bool:
        """Whether anybody waits for what is applied next."""
        return bool(self._writes.waited) or len(self._watermark) > 0

    def _hurry(self) -> None:
        if self._thread is not None:
            self._thread.hurry()

    @property
    def is_over(self) -> bool:
        """Whether the trouble does not go away."""
        return self.trouble is not None and self.trouble.state in OVER

    @property
    def _stopped(self) -> ClusterLiteError | None:
        """Why nothing is acknowledged: for good, or while the replica is in doubt."""
        if self.trouble is not None and self.trouble.state in OVER:
            return self.trouble.error
        return self.doubt

    def _refusal(self) -> ClusterLiteError | None:
        stopped = self._stopped
        if stopped is not None:
            return stopped
        if self._closing:
            return NotServing("the node is closing")
        if self.follower is None:
            return NotServing("the node is still opening its log")
        return None

    # The thread.

    def run(self) -> None:
        """Run until `close`; the thread's main function."""
        try:
            self.start()
            while self.step():
                pass
        finally:
            self.end()

    def start(self) -> None:
        """Before the first step."""
        if self._log.has_doorbell:
            self._inline = True
            self.loop.post(_nothing)  # the first tick opens the log and does not sleep
            return
        self._thread = FollowerThread(
            self._open, self.loop.post, self._deliver, self.fail, self._awaited
        )
        self._thread.start()

    def step(self) -> bool:
        """Sleep until there is something to do, and do it; False once the engine is closing."""
        try:
            self._tick()
        except Exception as error:
            if self._broken:
                raise
            self._broken = True
            _log.exception("defect", exc_info=error)
            with self._turn:
                self.halt(Halt("internal", repr(error), "This is a defect: report it"))
        return not self._closing

    def end(self) -> None:
        """After the last step: nobody is left waiting."""
        if not self._closing:
            ended = Halt("internal", "the engine ended", "Start the node again, and report it")
            self.trouble = self.trouble or Trouble("halted", ended)
        if self._thread is not None:
            self._thread.close()
        self._log.close()
        if self._thread is not None:
            self._thread.join()
        self.loop.end()
        self._abandon()
        self._watermark.expire(math.inf, self.seen.position)
        self._flush()

    def _tick(self) -> None:
        self.loop.tick(self.sleep_s)
        with self._turn:
            self._append()
            if self._inline:
                self._follow()
            self._expire()
            self._flush()

    def _flush(self) -> None:
        for flush in self.after_tick:
            flush()

    def close(self) -> None:
        """Ask the thread to end; from any thread."""
        self.loop.post(self._close)

    def _close(self) -> None:
        self._closing = True

    def _open(self) -> Follower:
        follower = self._make_follower(self._writes.waited)
        self._bell = self._log.doorbell()
        self._listen(True)
        self.follower = follower
        self.loop.post(self._progressed)
        return follower

    def _listen(self, on: bool) -> None:
        """Wake by the log's bell; not while nobody reads, since only that silences it."""
        if self._bell is not None and on != self._listening:
            self._listening = on
            if on:
                self.loop.watch(self._bell, _nothing)
            else:
                self.loop.forget(self._bell)

    @property
    def sleep_s(self) -> float:
        """How long the next step sleeps at most, in seconds."""
        if self._writes.may_go:
            return 0.0
        if self._writes.waited or len(self._watermark) or len(self._tails):
            return _EXPIRE_EVERY_S
        return _POLL_S

    # Appending.

    def _append(self) -> None:
        if self._writes.pending and not self._dropped() and self._writes.hand_over():
            self._hurry()

    def _dropped(self) -> bool:
        """Whether nothing is acknowledged; then what waits to be appended is told so."""
        stopped = self._stopped
        if stopped is not None:
            self._writes.drop(stopped)
        return stopped is not None

    # Following.

    def _follow(self) -> None:
        if self._clock() < self._retry_at:
            return
        self._listen(True)
        try:
            follower = self.follower or self._open()
            done = follower.step(0)
        except (Halt, ConfigError) as error:
            if isinstance(error, HaltedBatch):
                self._applied(error.done)
            self.fail(error)
        except (LogError, Strained) as error:
            self._retry_at = self._clock() + _POLL_S
            self._listen(False)
            self.fail(error)
        else:
            if self.trouble is not None and self.trouble.state in {"strained", "log_unreachable"}:
                self.fail(None)
            if done is not None:
                self._applied(done)
                self.loop.post(_nothing)

    def _deliver(self, done: list[Applied]) -> None:
        """On the follower's thread: answer who waited for what it applied."""
        with self._turn:
            self._applied(done)
            self._flush()
            if self._writes.pending:  # answering may lead to more that is to be appended
                self.loop.post(_nothing)

    def _applied(self, done: list[Applied]) -> None:
        for look in self.before_answers:
            look()
        for applied in done:
            self._writes.answer(applied.outcome.event_id, applied)
        self._watermark.reached(self.seen.position)
        self._progressed()

    def fail(self, error: ClusterLiteError | None) -> None:
        """Note why nothing can be acknowledged now; None once it can be again."""
        before = self.trouble
        if self.is_over:
            return
        if isinstance(error, Halt | ConfigError):
            self.halt(error, "halted" if isinstance(error, Halt) else "refused")
            return
        if error is None:
            if before is None:
                return
            if before.state == "log_unreachable" and not self._confirmed:
                self._confirm()
                return
            self.trouble = None
            _log.info("recovered", state=before.state)
        else:
            state = "strained" if isinstance(error, Strained) else "log_unreachable"
            if before is None or before.state != state:
                _log.warning(state, error=str(error))
            self.trouble = Trouble(state, error)
        self._progressed()

    def _confirm(self) -> None:
        """A log that can be read again may still refuse appends: ready once a tail came back."""

        def ended(answer: Answer) -> None:
            self._confirming = False
            self._confirmed = isinstance(answer, Reached)
            if self._confirmed:
                self.fail(None)
                self._confirmed = False

        now = self._clock()
        if not self._confirming and now >= self._confirm_at:
            self._confirming = True
            self._confirm_at = now + _POLL_S
            self.await_tail(self._clock() + _CONFIRM_S, ended)

    def halt(self, halt: ClusterLiteError, state: str = "halted") -> None:
        """Stop acknowledging for good: what the log was given is unknown, all else is refused.

        The first cause stands: what fails after it may follow from it, and is not told.
        """
        if self.is_over:
            return
        self.trouble = Trouble(state, halt)
        self._inline = False
        self._listen(False)
        if isinstance(halt, Halt):  # a refusal is told by whoever started the node
            _log.error("halted", reason=halt.reason, detail=halt.detail, cure=halt.cure)
        if self._thread is not None:
            self._thread.close()
        self._dropped()
        self._abandon()
        self._progressed()

    def withhold(self, doubt: ClusterLiteError) -> None:
        """Acknowledge nothing while the replica is in doubt; apply goes on."""
        before, self.doubt = self.doubt, doubt
        if before is None:
            self._dropped()
            self._abandon()
        self._progressed()

    def resume(self) -> None:
        """The replica is right."""
        if self.doubt is not None:
            self.doubt = None
            _log.info("recovered", state="checking")
            self._progressed()

    # Strong reads.

    def _begin_tail(self) -> None:
        if self._tails.under_way or not self._tails.waiting or self._closing:
            return
        self._tails.served, self._tails.waiting = self._tails.waiting, []
        self._tails.under_way = True
        future = self._log.tail()
        future.add_done_callback(lambda done: self.loop.post(lambda: self._ended(done)))

    def _ended(self, future: Future[int]) -> None:
        self._tails.under_way = False
        served, self._tails.served = self._tails.served, []
        error = future.exception()
        for reply, deadline in served:
            if error is None:
                self.await_position(future.result(), deadline, reply)
            else:
                reply(LogUnavailable(str(error)))
        if error is not None and not isinstance(error, ClusterLiteError):
            raise error
        self._begin_tail()

    # Ending waits.

    def _expire(self) -> None:
        now = self._clock()
        if now < self._expire_at:
            return
        self._expire_at = now + _EXPIRE_EVERY_S
        self._watermark.expire(now, self.seen.position)
        self._tails.expire(now)
        self._writes.expire(now)

    def _abandon(self) -> None:
        """Nobody will be told an outcome any more."""
        for reply, _ in [*self._tails.waiting, *self._tails.served]:
            reply(LogUnavailable("the log is not asked any more"))
        self._tails.waiting.clear()
        self._tails.served.clear()
        self._writes.abandon()


def _nothing() -> None:
    """Keeps the loop from sleeping while there may be more to do."""
