"""A small event loop for one thread: sockets that become ready, and calls from other threads.

Why not asyncio: the node is synchronous by design, and a tick here costs one `select` and no
callbacks of a framework's own.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, Final, Protocol

Call = Callable[[], None]

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class Ticks(Protocol):
    """What an engine asks of its loop; see `Loop`."""

    def post(self, call: Call) -> bool:
        """Run `call` in the next tick; from any thread. False where the loop has ended."""

    def watch(self, file: int | IO[bytes], readable: Call, writable: Call | None = None) -> None:
        """Run `readable` whenever the descriptor is; `writable` too where it is given."""

    def forget(self, file: int) -> None:
        """No longer look at the descriptor."""

    def tick(self, timeout_s: float) -> None:
        """Wait for something, at most `timeout_s`, and run all that is ready."""

    def end(self) -> None:
        """Take no more calls, and run those that were posted."""

    def close(self) -> None:
        """Let go of what it holds, after `end`."""


class Loop:
    """Runs what is ready, tick by tick.

    Other threads may `post`, and whoever holds the guard may `watch` and `forget`.

    Args:
        guard: held while anything runs, and not while the loop sleeps.
    """

    def __init__(self, guard: AbstractContextManager[object]) -> None:
        self._guard = guard
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Call] = deque()
        self._lock = threading.Lock()
        self._rung = False
        self._ended = False
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, _READ, self._silence)

    def close(self) -> None:
        """Let go of the descriptors, after `end`."""
        self._selector.close()
        os.close(self._woken)
        os.close(self._waker)

    def end(self) -> None:
        """Take no more calls, and run those that were posted: nobody's answer gets lost."""
        with self._lock:
            self._ended = True
        while self._calls:
            self._calls.popleft()()

    def post(self, call: Call) -> bool:
        """Run `call` in the next tick; wakes the loop once, however many calls gather.

        Returns:
            False where the loop has ended: then it never runs.
        """
        with self._lock:
            if self._ended:
                return False
            self._calls.append(call)
            if not self._rung:
                self._rung = True
                os.write(self._waker, b"\0")
        return True

    def watch(self, file: int | IO[bytes], readable: Call, writable: Call | None = None) -> None:
        """Run `readable` whenever the descriptor is; `writable` too where it is given."""
        events = _READ if writable is None else _READ | _WRITE
        data = (readable, writable)
        if file in self._selector.get_map():
            self._selector.modify(file, events, data)
        else:
            self._selector.register(file, events, data)

    def forget(self, file: int) -> None:
        """No longer look at the descriptor."""
        if file in self._selector.get_map():
            self._selector.unregister(file)

    def tick(self, timeout_s: float) -> None:
        """Wait for something, at most `timeout_s`, and run all that is ready."""
        ready = self._selector.select(0 if self._calls else timeout_s)
        with self._guard:
            for key, events in ready:
                self._ready(key, events)
            for _ in range(len(self._calls)):
                self._calls.popleft()()

    def _ready(self, key: selectors.SelectorKey, events: int) -> None:
        if key.data == self._silence:
            self._silence()
            return
        readable, writable = key.data
        if events & _WRITE and writable is not None:
            writable()
        if events & _READ and key.fd in self._selector.get_map():
            readable()

    def _silence(self) -> None:
        with self._lock:
            self._rung = False
            try:
                os.read(self._woken, 64)
            except BlockingIOError:
                return
