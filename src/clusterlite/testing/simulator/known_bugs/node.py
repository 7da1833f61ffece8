"""Known bugs of a node: what it tells, to whom and when."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from clusterlite.core.outcome import APPLIED, NEVER, Applied, Outcome
from clusterlite.errors import AppendUnknown, LogUnavailable
from clusterlite.node import (
    engine,
    follower,
    identity,
    keyed,
    runtime,
    startup,
    waiting,
    watermark,
    writes,
)
from clusterlite.node.answers import Reached
from clusterlite.node.follower import Strained
from clusterlite.replica import copy, reader
from clusterlite.testing.simulator.known_bugs.switch import Switch


def strong_read_without_its_barrier(switch: Switch) -> None:
    """A strong read gets what is here, without asking the log for its end."""
    switch.set(
        engine.Engine,
        "await_tail",
        lambda self, deadline, reply: reply(Reached(self.seen.position)),
    )


def token_not_waited_for(switch: Switch) -> None:
    """A session read gets what is here, whatever its token."""
    switch.set(
        engine.Engine,
        "await_position",
        lambda self, position, deadline, reply: reply(Reached(position)),
    )


def watermark_one_early(switch: Switch) -> None:
    """Who waits for a position is told one record too soon."""

    def early(self: Any, position: int) -> None:
        reached(self, position + 1)

    reached = switch.set(watermark.Watermark, "reached", early)


def unknown_told_as_not_written(switch: Switch) -> None:
    """A lost acknowledgement is told as a definite failure."""
    told_so = (*waiting.NEVER_APPENDED, AppendUnknown)
    for module in (waiting, writes):
        switch.set(module, "NEVER_APPENDED", told_so)


def acknowledged_at_append(switch: Switch) -> None:
    """A write is answered once the log has it, before it was applied and judged."""

    def appended(self: Any, submission: Any, waiting: Any, append: Any) -> None:
        told(self, submission, waiting, append)
        if append.exception() is None:
            outcome = Outcome(append.result(), submission.event_id, APPLIED)
            self.answer(submission.event_id, Applied(outcome, ()))

    told = switch.set(writes.Writes, "_appended", appended)


def answered_with_anothers_outcome(switch: Switch) -> None:
    """All who wait for a batch are told the outcome of its first event."""

    def applied(self: Any, done: list[Applied]) -> None:
        of_all(self, [done[0]._replace(outcome=_named(done[0], one)) for one in done])

    of_all = switch.set(engine.Engine, "_applied", applied)


def _named(first: Applied, one: Applied) -> Outcome:
    return first.outcome._replace(event_id=one.outcome.event_id)


def identity_not_checked(switch: Switch) -> None:
    """A log is followed, whichever it is."""
    switch.set(runtime, "check_identity", lambda log, known, seen: log.identity())


def record_not_recognised(switch: Switch) -> None:
    """The last applied record is not compared with what the log has there."""
    switch.set(identity, "_check_record", lambda log, seen: None)


def barrier_under_way_joined(switch: Switch) -> None:
    """A strong read is served by a question for the log's end that was begun before it."""

    def await_tail(self: Any, deadline: float, reply: Any) -> None:
        if self._tails.under_way:
            self._tails.served.append((reply, deadline))
        else:
            ask(self, deadline, reply)

    ask = switch.set(engine.Engine, "await_tail", await_tail)


def timeout_told_as_not_written(switch: Switch) -> None:
    """Whoever waited in vain is told that nothing was written."""
    switch.set(
        waiting.Waiting, "unknown", lambda self, event_id: LogUnavailable("it took too long")
    )


def settled_before_its_fence_is_applied(switch: Switch) -> None:
    """An id is told to be closed once its FENCE is in the log, wherever the event is."""

    def appended(self: Any, submission: Any, waits: Any, append: Any) -> None:
        told(self, submission, waits, append)
        if append.exception() is None and writes._is_fence(submission.value):
            outcome = Outcome(append.result(), submission.event_id, NEVER)
            self.answer(submission.event_id, Applied(outcome, ()))

    told = switch.set(writes.Writes, "_appended", appended)


def body_of_a_key_not_compared(switch: Switch) -> None:
    """A key that comes with another write is answered with the first one's outcome."""
    switch.set(keyed, "check_same", lambda key, fp, outcome: None)


def ready_by_end_offset_alone(switch: Switch) -> None:
    """A node that knows where the log ends is ready, wherever it is itself."""

    def advance(self: Any, of: Any) -> None:
        if self.phase == "opening" and of.follower is not None:
            self.phase = "founding"
        advanced(self, of)

    advanced = switch.set(startup.Startup, "advance", advance)


def failed_fsync_tried_again(switch: Switch) -> None:
    """After an I/O error of a commit the same process goes on."""

    def passing(error: apsw.Error) -> Any:
        return (
            Strained(str(error), "none: it is a bug")
            if isinstance(error, apsw.IOError)
            else told(error)
        )

    told = switch.set(follower, "classified", passing)


def read_over_two_snapshots(switch: Switch) -> None:
    """A row and the position that is told with it are read one after the other."""

    @contextmanager
    def none(self: Any) -> Any:
        yield self._connection

    switch.set(reader.Reader, "snapshot", none)


def copy_with_a_wrong_position(switch: Switch) -> None:
    """A copy of a replica names the position behind the one that its rows are of."""

    def back_up(replica: Any, made: Any) -> None:
        copied(replica, made)
        made.execute("UPDATE _cl_state SET position = position + 1")

    copied = switch.set(copy, "_back_up", back_up)


def restore_not_atomic(switch: Switch) -> None:
    """A copy gets its name before it is on the disk."""

    def make(replica: Path, work: Path, *, bookkeeping: bool) -> Any:
        whole, found = made(replica, work, bookkeeping=bookkeeping)
        target = work.parent / work.name[1:].rpartition(".")[0]
        return whole.rename(target), found

    made = switch.set(copy, "_make", make)
