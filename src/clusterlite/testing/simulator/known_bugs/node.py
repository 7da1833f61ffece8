"""Known bugs of a node: what it tells, to whom and when."""

from __future__ import annotations

from typing import Any

from clusterlite.core.outcome import APPLIED, Applied, Outcome
from clusterlite.errors import AppendUnknown
from clusterlite.node import engine, runtime, watermark
from clusterlite.node.answers import Reached
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
    switch.set(engine, "_NEVER_APPENDED", (*engine._NEVER_APPENDED, AppendUnknown))


def acknowledged_at_append(switch: Switch) -> None:
    """A write is answered once the log has it, before it was applied and judged."""

    def appended(self: Any, submission: Any, waiting: Any, append: Any) -> None:
        told(self, submission, waiting, append)
        if append.exception() is None:
            outcome = Outcome(append.result(), submission.event_id, APPLIED)
            self._answer(submission.event_id, Applied(outcome, ()))

    told = switch.set(engine.Engine, "_appended", appended)


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
