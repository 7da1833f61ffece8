"""What a node takes from the machine that it runs on: time, ids, threads and its loop.

All of it is handed down from here, so that a simulation can hand in another world: one thread,
virtual time, ids from a seed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from clusterlite.node.ids import timestamp, uuid7
from clusterlite.node.loop import Loop, Ticks


class Running(Protocol):
    """Something that was started; a `threading.Thread` is one."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""


def start_thread(run: Callable[[], None], name: str) -> Running:
    """Run it in a thread of its own, which ends with the process at the latest."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


@dataclass(frozen=True, slots=True)
class Machine:
    """What is handed down.

    Args:
        clock: seconds that only grow; every deadline is by it.
        new_id: a UUIDv7.
        timestamp: now, as an event spells it.
        make_loop: for an engine, with the guard that is held while anything runs.
        start: begins what runs beside its caller, under a name.
    """

    clock: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = uuid7
    timestamp: Callable[[], str] = timestamp
    make_loop: Callable[[AbstractContextManager[object]], Ticks] = Loop
    start: Callable[[Callable[[], None], str], Running] = start_thread


THIS_MACHINE = Machine()
