"""What the engine answers to whoever submitted an event or waits for a position."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from clusterlite.core.outcome import Applied
from clusterlite.errors import ClusterLiteError


class Appended(NamedTuple):
    """The event is in the log at this position; its outcome is not known here yet."""

    position: int


class Reached(NamedTuple):
    """This replica has applied everything up to this position."""

    position: int


Answer = Applied | Appended | Reached | ClusterLiteError

Reply = Callable[[Answer], None]
"""Called once, in the engine's turn; must not block."""


class Submission(NamedTuple):
    """An event on its way to the log.

    Args:
        event_id: of the event in `value`.
        value: the record's bytes.
        reply: told the outcome.
        deadline: by the monotonic clock; then `OutcomeUnknown` is answered.
        early: answer `Appended` as soon as the log has it (`Prefer: respond-async`).
    """

    event_id: str
    value: bytes
    reply: Reply
    deadline: float
    early: bool = False
