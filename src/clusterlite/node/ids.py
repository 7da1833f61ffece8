"""What a node adds to a decision: ids and times. The only clock and randomness of a write."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Final

_RANDOM = random.Random(os.urandom(32))  # noqa: S311 - ids are unique, they guard nothing
_LOCK = threading.Lock()
_LOW_BITS: Final = 48
"""Of the 74 bits beside the time, those that the text shows as its last group."""

_HIGH_BITS: Final = 26

_seconds: list[tuple[int, str]] = [(0, "")]
"""The second last asked for, with its text: one value, so that threads cannot mix two."""


class _Last:
    """What the last id was made of; the text before its last group is made once a millisecond."""

    ms = 0
    high = 0
    low = 0
    head = ""


def uuid7() -> str:
    """A UUIDv7 (RFC 9562, 5.7), ever growing within this process.

    48 bits of Unix milliseconds, then 74 bits that are random at the first id of a millisecond
    and grow by a random step after it (method 2 of section 6.2).
    """
    now_ms = time.time_ns() // 1_000_000
    with _LOCK:
        if now_ms > _Last.ms:
            _Last.low = _RANDOM.getrandbits(_LOW_BITS)
            _begin(now_ms, _RANDOM.getrandbits(_HIGH_BITS - 1))
        else:
            _Last.low += 1 + _RANDOM.getrandbits(32)
            if _Last.low >> _LOW_BITS:
                _Last.low -= 1 << _LOW_BITS
                _begin(_Last.ms, _Last.high + 1)
        return "%s%012x" % (_Last.head, _Last.low)  # noqa: UP031 - half the time of an f-string


def _begin(ms: int, high: int) -> None:
    _Last.ms, _Last.high = ms, high
    variant = high & 0x3FFF | 0x8000
    _Last.head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{high >> 14:03x}-{variant:04x}-"


def timestamp() -> str:
    """Now, as an event spells it: RFC 3339, UTC, six digits."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    second, text = _seconds[0]
    if seconds != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _seconds[0] = seconds, text
    return "%s.%06dZ" % (text, nanoseconds // 1000)  # noqa: UP031
