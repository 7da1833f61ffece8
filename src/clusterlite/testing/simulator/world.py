"""The world of one run: one thread, virtual time, and every choice from one seed.

What happens is a queue of calls by time. Nothing in a run asks the machine for a time, a random
number or a thread, so the same seed gives the same run to the byte.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final

Call = Callable[[], None]

BEGAN_MS: Final = 1_795_377_600_000
"""The wall clock's time at the beginning of every run, Unix milliseconds."""


class World:
    """Time, chance and the trace of one run.

    Args:
        seed: of every choice.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)  # noqa: S311 - a run must be repeatable
        self.sometimes: Counter[str] = Counter()
        self.violations: list[str] = []
        self.lines: list[str] = []
        self._clock_face = (-1.0, "")
        self._order = count()
        self._calls: list[tuple[float, int, Call]] = []
        self._ids = count()

    def at(self, delay_s: float, call: Call) -> None:
        """Run `call` after so much virtual time."""
        heappush(self._calls, (self.now + delay_s, next(self._order), call))

    def run_until(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass.

        Args:
            done: looked at after every call.
            limit_s: of virtual time, from now.

        Returns:
            Whether it was done in time; a run that is red already does not go on.
        """
        calls, end = self._calls, self.now + limit_s
        while not done():
            if self.violations or not calls or calls[0][0] > end:
                return False
            self.now, _, call = heappop(calls)
            call()
        return True

    def clock(self) -> float:
        """Seconds since the beginning."""
        return self.now

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return probability > 0 and self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        """A number between the two."""
        return low + (high - low) * self.random.random()

    @property
    def time_ms(self) -> int:
        """The wall clock, Unix milliseconds."""
        return BEGAN_MS + int(self.now * 1000)

    def new_id(self) -> str:
        """A UUIDv7 of the virtual time and a number."""
        text = f"{self.time_ms:012x}"
        return f"{text[:8]}-{text[8:]}-7000-8000-{next(self._ids):012x}"

    def timestamp(self, skew_s: float = 0.0) -> str:
        """The wall clock as an event spells it.

        Args:
            skew_s: how far the clock of whoever asks is ahead.
        """
        seconds, fraction = divmod(BEGAN_MS / 1000 + self.now + skew_s, 1)
        if self._clock_face[0] != seconds:
            whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            self._clock_face = seconds, whole
        return f"{self._clock_face[1]}.{int(fraction * 1_000_000):06d}Z"

    def note(self, line: str) -> None:
        """Add to the trace."""
        self.lines.append(f"{self.now:.6f} {line}")
