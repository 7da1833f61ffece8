"""The watermark: who waits for which position, and who is told when it is reached."""

from __future__ import annotations

import heapq
from itertools import count

from clusterlite.errors import Behind
from clusterlite.node.answers import Reached, Reply


class Watermark:
    """Waiters by position; used in the engine's turn."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, float, Reply]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, position: int, deadline: float, reply: Reply) -> None:
        """Tell `reply` once `position` is reached, or `Behind` after `deadline`."""
        heapq.heappush(self._waiting, (position, next(self._order), deadline, reply))

    def reached(self, position: int) -> None:
        """The replica has applied up to `position`."""
        while self._waiting and self._waiting[0][0] <= position:
            heapq.heappop(self._waiting)[3](Reached(position))

    def expire(self, now: float, position: int) -> None:
        """Give up on those whose deadline is over."""
        late = [waiting for waiting in self._waiting if waiting[2] <= now]
        if not late:
            return
        self._waiting = [waiting for waiting in self._waiting if waiting[2] > now]
        heapq.heapify(self._waiting)
        for wanted, _, _, reply in late:
            reply(Behind(f"this node is at position {position} and {wanted} was asked for"))
