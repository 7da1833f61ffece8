"""The tries of a patch in this process; `core.partial` says what each of them sends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clusterlite.core.event import Condition
from clusterlite.core.outcome import Applied
from clusterlite.core.partial import TRIES, Attempt, Part, contended, may_try_again


def patched(
    part: Part,
    asked: Condition | None,
    look: Callable[[], tuple[Any, ...] | None],
    send: Callable[[Attempt], Applied],
    ends: float,
) -> Applied:
    """What became of a patch.

    Args:
        part: of the row.
        asked: the caller's own precondition, after which nothing is tried again.
        look: reads the row, as `(version, values…)`.
        send: appends an event and waits for its outcome.
        ends: when the last try may begin, by the monotonic clock.
    """
    if part.data is not None:
        return send(Attempt("PATCH", {"id": part.key, **part.data}, asked))
    for number in range(1, TRIES + 1):
        found = look()
        applied = send(part.attempt(None if found is None else (found[0], found[1:]), asked))
        if not may_try_again(applied.outcome, asked):
            return applied
        if number == TRIES or time.monotonic() > ends:
            break
    return contended(applied)
