"""What a node adds to a decision: ids and times. The only clock and randomness of a write."""

from __future__ import annotations

import os
import random
import threading
import time

_RANDOM = random.Random(os.urandom(32))  # noqa: S311 - ids are unique, they guard nothing
_LOCK = threading.Lock()
_COUNTER_BITS = 74
_last = [0, 0]
_seconds: list[tuple[int, str]] = [(0, "")]
"""The second last asked for, with its text: one value, so that threads cannot mix two."""


def uuid7() -> str:
    """A UUIDv7 (RFC 9562, 5.7), ever growing within this process.

    48 bits of Unix milliseconds, then 74 bits that are random at the first id of a millisecond
    and grow by a random step after it (method 2 of section 6.2).
    """
    now_ms = time.time_ns() // 1_000_000
    with _LOCK:
        if now_ms > _last[0]:
            _last[0] = now_ms
            _last[1] = _RANDOM.getrandbits(_COUNTER_BITS - 1)
        else:
            _last[1] += 1 + _RANDOM.getrandbits(32)
        now_ms, counter = _last
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - half the time of an f-string here
        now_ms >> 16,
        now_ms & 0xFFFF,
        counter >> 62 & 0xFFF,
        counter >> 48 & 0x3FFF | 0x8000,
        counter & 0xFFFFFFFFFFFF,
    )


def timestamp() -> str:
    """Now, as an event spells it: RFC 3339, UTC, six digits."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    second, text = _seconds[0]
    if seconds != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _seconds[0] = seconds, text
    return "%s.%06dZ" % (text, nanoseconds // 1000)  # noqa: UP031
