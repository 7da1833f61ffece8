"""What a node adds to a decision: ids and times. The only clock and randomness of a write."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Final

_LOW_BITS: Final = 48
"""Of the 74 bits beside the time, those that the text shows as its last group."""

_HIGH_BITS: Final = 26

_seconds: list[tuple[int, str]] = [(0, "")]
"""The second last asked for, with its text: one value, so that threads cannot mix two."""


class _Ids:
    """What the last id was made of; the text before its last group is made once a millisecond."""

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311 - unique is enough
        self._lock = threading.Lock()
        self._ms = 0
        self._high = 0
        self._low = 0
        self._head = ""

    def next(self) -> str:
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            if now_ms > self._ms:
                self._low = self._random.getrandbits(_LOW_BITS)
                self._begin(now_ms, self._random.getrandbits(_HIGH_BITS - 1))
            else:
                self._low += 1 + self._random.getrandbits(32)
                if self._low >> _LOW_BITS:
                    self._low -= 1 << _LOW_BITS
                    self._begin(self._ms, self._high + 1)
            return "%s%012x" % (self._head, self._low)  # noqa: UP031 - half an f-string's time

    def _begin(self, ms: int, high: int) -> None:
        self._ms, self._high = ms, high
        variant = high & 0x3FFF | 0x8000
        self._head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{high >> 14:03x}-{variant:04x}-"


_ids = _Ids()


def _begin_anew() -> None:
    """In a forked process: the parent's numbers come next there too, and its lock may be held."""
    global _ids  # noqa: PLW0603
    _ids = _Ids()


os.register_at_fork(after_in_child=_begin_anew)


def uuid7() -> str:
    """A UUIDv7 (RFC 9562, 5.7), ever growing within this process.

    48 bits of Unix milliseconds, then 74 bits that are random at the first id of a millisecond
    and grow by a random step after it (method 2 of section 6.2).
    """
    return _ids.next()


def timestamp() -> str:
    """Now, as an event spells it: RFC 3339, UTC, six digits."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    second, text = _seconds[0]
    if seconds != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _seconds[0] = seconds, text
    return "%s.%06dZ" % (text, nanoseconds // 1000)  # noqa: UP031
