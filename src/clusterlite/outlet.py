"""Output that nobody may wait for: what is written goes out by a thread of its own.

A pipe whose reader has stopped takes nothing more and blocks whoever writes to it: a terminal
that is held, a log collector that hangs. So nothing in a node writes to one by itself. What does
not go out is held up to a bound (I14); past that lines are dropped, and counted in one line once
there is room.
"""

from __future__ import annotations

import atexit
import os
import select
import threading
import time
from typing import Any, Final, TextIO

HELD_CHARS_MAX: Final = 1024 * 1024
GATHER_S: Final = 0.01
"""How long lines gather, so that a busy node makes one system call for many."""

END_S: Final = 1.0
"""How long the end of a process waits for what is held."""

ROOM_WAIT_S: Final = 1.0
"""How long a full pipe that does not block is waited for, before it is tried again."""


class Outlet:
    """Stands where a text stream stood; all but writing is still the stream's own.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: list[str] = []
        self._size = 0
        self._dropped = 0
        self._gone = False
        # Re-entered where a signal's handler writes too.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Hold some text, or drop it; never waits."""
        with self._changed:
            if self._gone:
                return len(text)
            if self._size + len(text) > HELD_CHARS_MAX:
                self._dropped += text.count("\n")
                return len(text)
            self._held.append(text)
            self._size += len(text)
            if self._thread is None:
                self._begin()
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread does it."""

    def drain(self, timeout_s: float = END_S) -> bool:
        """Wait until all has gone out, but not for long.

        Returns:
            Whether it has.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._size, timeout_s)

    def _begin(self) -> None:
        # Noted before it starts: a signal's handler that writes meanwhile starts no second one.
        self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread can be had now: the next line tries again
            self._thread = None
        else:
            atexit.register(self.drain)

    def _run(self) -> None:
        while not self._gone:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._dropped)
            time.sleep(GATHER_S)
            with self._changed:
                held, self._held = self._held, []
                dropped, self._dropped = self._dropped, 0
            text = "".join(held)
            try:
                self._put(text)
                if dropped:
                    self._put(f"clusterlite: {dropped} lines were dropped: nobody read them\n")
            except (OSError, ValueError):  # the terminal or the pipe was closed
                self._gone = True
            with self._changed:
                self._size = 0 if self._gone else self._size - len(text)
                self._changed.notify_all()

    def _put(self, text: str) -> None:
        # Not by the stream, whose lock would end the process badly where it is held at the end.
        data = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(self._stream.fileno(), data) :]
            except BlockingIOError:  # whoever shares the pipe made it so; it is full, not closed
                self._wait_for_room()

    def _wait_for_room(self) -> None:
        # Not select.select, which takes no descriptor past 1,023.
        room = select.poll()
        room.register(self._stream.fileno(), select.POLLOUT)
        room.poll(ROOM_WAIT_S * 1_000)
