"""Who waits in the engine: for the outcome of an event, or for the end of the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from clusterlite.errors import (
    Behind,
    ClusterLiteError,
    LogClosed,
    LogUnavailable,
    OutcomeUnknown,
    RecordTooLarge,
)
from clusterlite.log.base import Append
from clusterlite.node.answers import Reply

NEVER_APPENDED: Final = (LogUnavailable, LogClosed, RecordTooLarge)
"""What an append fails with where the log was definitely not given the record."""


@dataclass(slots=True)
class Waiting:
    """Who waits for the outcome of one event id.

    Args:
        replies: with their deadlines.
        early: those of them that joined before any was handed over, and are told its position.
        records: of this id that were taken and have not failed: one, and one for each FENCE.
        size: of the records that were taken, in bytes.
        appends: what becomes of each that was handed over and is the event itself.
        fences: the same of each FENCE: it decides the id, but says not that the event is there.
        handed_over: whether the log was given any.
        given_up: nobody waits and none was handed over: none may be any more.
    """

    replies: list[tuple[Reply, float]] = field(default_factory=list)
    early: list[Reply] = field(default_factory=list)
    records: int = 0
    size: int = 0
    appends: list[Append] = field(default_factory=list)
    fences: list[Append] = field(default_factory=list)
    handed_over: bool = False
    given_up: bool = False

    @property
    def appended(self) -> int | None:
        """Position of the last record of the event that the log is known to have, None before."""
        for append in reversed(self.appends):
            if append.done() and append.exception() is None:
                return append.result()
        return None

    @property
    def may_come(self) -> bool:
        """Whether a record of this id may be applied without another append."""
        return not self.handed_over or any(
            not append.done() or append.exception() is None
            for append in (*self.appends, *self.fences)
        )

    @property
    def may_be_written(self) -> bool:
        """Whether the log was given a record of this id and has not definitely refused it."""
        return any(
            not append.done() or not isinstance(append.exception(), NEVER_APPENDED)
            for append in (*self.appends, *self.fences)
        )

    def leaves(self, reply: Reply) -> bool:
        """Take one out; False where it was answered already."""
        count = len(self.replies)
        self.replies = [item for item in self.replies if item[0] is not reply]
        return len(self.replies) < count

    def unknown(self, event_id: str) -> ClusterLiteError:
        """What is told where the wait ends before the outcome is there."""
        if self.given_up:
            return LogUnavailable("the event was not handed to the log in time")
        return OutcomeUnknown(event_id, self.appended)


@dataclass(slots=True)
class Tails:
    """Strong reads: those of the barrier under way, and those that came after it was begun."""

    waiting: list[tuple[Reply, float]] = field(default_factory=list)
    served: list[tuple[Reply, float]] = field(default_factory=list)
    under_way: bool = False

    def __len__(self) -> int:
        return len(self.waiting) + len(self.served)

    def expire(self, now: float) -> None:
        """Answer whoever waited long enough."""
        for name in ("waiting", "served"):
            waits: list[tuple[Reply, float]] = getattr(self, name)
            late = [reply for reply, deadline in waits if deadline <= now]
            if late:
                setattr(self, name, [item for item in waits if item[1] > now])
            for reply in late:
                reply(Behind("the log did not tell its end in time"))
