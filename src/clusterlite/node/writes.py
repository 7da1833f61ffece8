"""Writes under way: events from the moment they are taken until they are answered.

    take --> pending --hand_over--> the log … applied --answer--> gone
             (gathered while an append is under way: adaptive group commit)

All of it runs in the engine's turn. Invariants:

1. `LogUnavailable` is answered only for what never entered the log's client (I11). Everything
   else that runs out of time is `OutcomeUnknown`, and so is a refusal while another record of the
   same id may be in the log: what is told is about the id, not about one record of it.
2. What waits is bounded in number, bytes and age (I14). The log is given few at a time, so that a
   queue stands here, where its events are definitely refused and not unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from clusterlite.core import codec
from clusterlite.core.outcome import Applied
from clusterlite.errors import ClusterLiteError, Overloaded
from clusterlite.log.base import Append, Log
from clusterlite.node.answers import Answer, Appended, Reply, Submission
from clusterlite.node.waiting import NEVER_APPENDED, Waiting

WAITING_MAX: Final = 20_000
"""Events that may be waited for; past it, `Overloaded`."""

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the events that are waited for; past it, `Overloaded`."""

PENDING_S: Final = 2.0
"""How long the oldest event may have waited to be appended; past it, newer ones are `Overloaded`:
taken, they would wait as long, and many of them in vain."""

APPEND_MAX: Final = 1_000
"""Events handed to the log in one call."""

HANDED_OVER_MAX: Final = 5_000
"""Events that the log was given and that are not applied here yet; the others wait their turn."""


class Writes:
    """Who waits for which event, and what the log has not been given yet.

    Args:
        log: that they are appended to.
        post: has a call made in the engine's turn, from any thread.
    """

    def __init__(self, log: Log, post: Callable[[Callable[[], None]], object]) -> None:
        self.waited: dict[str, Waiting] = {}
        """By event id; who applies the log looks here for what is awaited."""
        self._log = log
        self._post = post
        self._pending: list[tuple[Submission, Waiting, float]] = []
        self._bytes = 0
        self._handed_over = 0
        self._due = math.inf

    @property
    def pending(self) -> bool:
        """Whether any waits to be handed over."""
        return bool(self._pending)

    @property
    def may_go(self) -> bool:
        """Whether one of them can be now."""
        return bool(self._pending) and self._handed_over < HANDED_OVER_MAX

    def joins(self, submission: Submission) -> bool:
        """Let it wait with others for its id, and be appended no more; False where it must be.

        A FENCE is appended always, and so is an event whose appends have all failed: the first of
        its id in the log decides for all.
        """
        waiting = self.waited.get(submission.event_id)
        if waiting is None or not waiting.may_come or _is_fence(submission.value):
            return False
        position = waiting.appended if submission.early else None
        if position is not None:
            submission.reply(Appended(position))
        else:
            self._due = min(self._due, submission.deadline)
            waiting.replies.append((submission.reply, submission.deadline))
            if submission.early:
                for append in waiting.appends:
                    self._tell_early(submission.reply, waiting, append)
                if not waiting.handed_over:
                    waiting.early.append(submission.reply)
        return True

    def crowded(self, submission: Submission, now: float) -> Overloaded | None:
        """Why no more can wait, None where this one can."""
        if len(self.waited) >= WAITING_MAX:
            return Overloaded(f"{WAITING_MAX} writes are waiting already")
        if self._bytes + len(submission.value) > WAITING_BYTES_MAX:
            return Overloaded(f"writes of {self._bytes} bytes are waiting already")
        if self._pending:
            waited_s = now - self._pending[0][2]
            if waited_s > PENDING_S:
                return Overloaded(f"writes wait {waited_s:.1f} s for their turn")
        return None

    def refuse(self, submission: Submission, error: ClusterLiteError) -> None:
        """Tell why it is not taken, or that an earlier one of its id may have its effect yet."""
        waiting = self.waited.get(submission.event_id)
        if waiting is not None and not waiting.given_up:
            error = waiting.unknown(submission.event_id)
        submission.reply(error)

    def take(self, submission: Submission, now: float) -> None:
        """It is appended with the others of this tick."""
        reply = submission.reply, submission.deadline
        waiting = self.waited.get(submission.event_id)
        if waiting is None:
            waiting = self.waited[submission.event_id] = Waiting([reply], records=1)
        else:
            waiting.replies.append(reply)
            waiting.records += 1
        waiting.size += len(submission.value)
        self._bytes += len(submission.value)
        self._due = min(self._due, submission.deadline)
        self._pending.append((submission, waiting, now))

    def hand_over(self) -> bool:
        """Give the log as many as it may have; whether there was any."""
        count = min(APPEND_MAX, HANDED_OVER_MAX - self._handed_over)
        if count <= 0:
            return False
        pending, self._pending = self._pending[:count], self._pending[count:]
        batch: list[tuple[Submission, Waiting]] = []
        values: list[bytes] = []
        for submission, waiting, _ in pending:
            # Whoever was told that it did not happen must be right (I2).
            if not waiting.given_up:
                self._handed_over += not waiting.handed_over
                waiting.handed_over = True
                batch.append((submission, waiting))
                values.append(submission.value)
        if not batch:
            return False
        appends = self._log.append(values)
        for (submission, waiting), append in zip(batch, appends, strict=True):
            given = waiting.fences if _is_fence(submission.value) else waiting.appends
            given.append(append)
        for (submission, waiting), append in zip(batch, appends, strict=True):
            if append.done():
                self._appended(submission, waiting, append)
            elif submission.early:
                append.add_done_callback(self._later(submission, waiting))
            if waiting.early and append not in waiting.fences:
                early, waiting.early = waiting.early, []
                for reply in early:
                    self._tell_early(reply, waiting, append)
        return True

    def drop(self, error: ClusterLiteError) -> None:
        """Hand nothing of it over: what waits for that is told why."""
        pending, self._pending = self._pending, []
        for submission, waiting, _ in pending:
            self._never(submission, waiting, error)

    def answer(self, event_id: str, answer: Answer) -> None:
        """Tell all who wait for it; a repeated event's outcome is told as such."""
        waiting = self.waited.pop(event_id, None)
        if waiting is not None:
            self._left(waiting)
            # Taken out, so that a report that comes later finds nobody left to tell.
            replies, waiting.replies = waiting.replies, []
            for number, (reply, _) in enumerate(replies):
                if number == 1 and isinstance(answer, Applied):
                    answer = answer._replace(repeated=True)
                reply(answer)

    def expire(self, now: float) -> None:
        """Answer whoever waited long enough."""
        if now < self._due:
            return
        self._due = math.inf
        for event_id, waiting in list(self.waited.items()):
            late = [reply for reply, deadline in waiting.replies if deadline <= now]
            if late:
                waiting.replies = [item for item in waiting.replies if item[1] > now]
                if not waiting.replies:
                    self._left(self.waited.pop(event_id))
                for reply in late:
                    reply(waiting.unknown(event_id))
            for _, deadline in waiting.replies:
                self._due = min(self._due, deadline)
        self._pending = [taken for taken in self._pending if not taken[1].given_up]

    def abandon(self) -> None:
        """Nobody will be told an outcome any more."""
        for event_id, waiting in list(self.waited.items()):
            waiting.given_up = not waiting.handed_over
            self.answer(event_id, waiting.unknown(event_id))

    def _appended(self, submission: Submission, waiting: Waiting, append: Append) -> None:
        error = append.exception()
        if error is None:
            if submission.early and waiting.leaves(submission.reply):
                submission.reply(Appended(append.result()))
        elif isinstance(error, NEVER_APPENDED):
            self._never(submission, waiting, error)
        # AppendUnknown: it may still be applied; the waiter's deadline decides.

    def _later(self, submission: Submission, waiting: Waiting) -> Callable[[Append], object]:
        return lambda done: self._post(lambda: self._appended(submission, waiting, done))

    def _tell_early(self, reply: Reply, waiting: Waiting, append: Append) -> None:
        """Tell one who joined its position, once the log has it."""

        def told() -> None:
            if append.exception() is None and waiting.leaves(reply):
                reply(Appended(append.result()))

        append.add_done_callback(lambda _: self._post(told))

    def _never(self, submission: Submission, waiting: Waiting, error: ClusterLiteError) -> None:
        """A record was not appended: that is all there is to say, if no other of its id may be."""
        waiting.records -= 1
        if waiting.records == 0 and self.waited.get(submission.event_id) is waiting:
            self.answer(submission.event_id, error)
            return
        if waiting.leaves(submission.reply):
            told = waiting.unknown(submission.event_id) if waiting.may_be_written else error
            submission.reply(told)
        if not waiting.replies and self.waited.get(submission.event_id) is waiting:
            self._left(self.waited.pop(submission.event_id))

    def _left(self, waiting: Waiting) -> None:
        """Nobody waits for it any more: what was not handed over yet never is."""
        waiting.given_up = not waiting.handed_over
        self._bytes -= waiting.size
        self._handed_over -= waiting.handed_over


def _is_fence(value: bytes) -> bool:
    if b"FENCE" not in value:
        return False
    event = codec.decode(value, 0)
    return event is not None and event.operation == "FENCE"
