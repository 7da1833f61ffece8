"""A child process as the supervisor sees it: when it starts, whether it serves, how it ended."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from clusterlite.telemetry import get_logger

STOP_WAIT_S: Final = 15.0
BACKOFF_MAX_S: Final = 5.0
STARTS_MAX: Final = 5
"""A child that died so often before it was up at all is not started again."""

_STEADY_S: Final = 1.0
"""A child that was up for so long is restarted at once when it dies."""

_log = get_logger("clusterlite.serve")


@dataclass
class Child:
    """One process after the other in the same role.

    Args:
        role: `node` or `worker`.
        arguments: that follow the role on the command line.
        descriptors: that it inherits.
        settings: that it reads from its standard input: a command line can be seen by anybody.
        process: the present one, None between two.
        start_at: when to start the next one.
        up_at: since when the present one serves, None before.
        was_up: whether any of them has served.
        failures: deaths in a row of processes that were not up for long.
    """

    role: str
    arguments: list[str]
    descriptors: tuple[int, ...]
    settings: str = ""
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    up_at: float | None = None
    was_up: bool = False
    failures: int = 0

    def start(self) -> None:
        """Start a process."""
        self.up_at = None
        # A terminal's Ctrl-C reaches the children too, also before they can say that they ignore
        # it; they inherit the mask, and the supervisor gets the signal a moment later.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clusterlite.cli.child", self.role, *self.arguments],
                pass_fds=self.descriptors,
                stdin=subprocess.PIPE,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self.process.stdin as settings:
                settings.write(self.settings.encode())

    def is_up(self, now: float) -> None:
        """Its process serves from now on."""
        self.up_at = now
        self.was_up = True

    def died(self, now: float) -> None:
        """Note the end of its process, and when to start the next one."""
        self.process = None
        steady = self.up_at is not None and now - self.up_at >= _STEADY_S
        self.failures = 0 if steady else self.failures + 1
        pause_s = min(BACKOFF_MAX_S, 0.05 * 2**self.failures) if self.failures > 1 else 0.0
        self.start_at = now + pause_s

    @property
    def hopeless(self) -> bool:
        """Whether it was never up, however often it was tried."""
        return not self.was_up and self.failures >= STARTS_MAX


def stop_all(children: Iterable[Child], wait_s: float = STOP_WAIT_S) -> None:
    """Ask each to end, workers before the node; kill those that have not in `wait_s` in all."""
    children = list(children)
    deadline = time.monotonic() + wait_s
    for role in ("worker", "node"):
        asked = [c.process for c in children if c.role == role and c.process is not None]
        for process in asked:
            process.terminate()
        for process in asked:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("child_killed", role=role, pid=process.pid)
                process.kill()
                process.wait()


def until_next_start(children: Iterable[Child]) -> float | None:
    """How long nothing has to be started, in seconds; None where everything runs."""
    waiting = [child.start_at for child in children if child.process is None]
    return max(0.0, min(waiting) - time.monotonic()) if waiting else None


def how_ended(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
