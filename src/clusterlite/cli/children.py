"""A child process as the supervisor sees it: when it starts, whether it serves, how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from clusterlite.telemetry import get_logger

STOP_WAIT_S: Final = 15.0
BACKOFF_MAX_S: Final = 5.0
STARTS_MAX: Final = 5
"""A child that died so often before it was up at all is not started again."""

_STEADY_S: Final = 1.0
"""A child that was up for so long is restarted at once when it dies."""

_log = get_logger("clusterlite.serve")


class Told(TypedDict, total=False):
    """What a child tells its supervisor: an object a line, each in one write.

    Args:
        pid: of the child, which serves from now on unless it has ended.
        node: of the node process that came up: cluster, state, position and reason.
        saved: of the node process that ended in order: position and count of tables.
    """

    pid: int
    node: dict[str, Any]
    saved: dict[str, Any]


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
        environment: added to the parent's.
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
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start a process."""
        self.up_at = None
        self.process = start_process(
            ["-m", "clusterlite.cli.child", self.role, *self.arguments],
            self.settings,
            pass_fds=self.descriptors,
            env=os.environ | self.environment,
        )

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


def start_process(
    arguments: Sequence[str], settings: str, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a Python process that reads its settings and that no Ctrl-C reaches.

    Args:
        arguments: of the interpreter.
        settings: for its standard input.
        options: as `subprocess.Popen`.
    """
    # A terminal's Ctrl-C reaches the children too, also before they can say that they ignore
    # it; they inherit the mask, and the supervisor gets the signal a moment later.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, **options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as given:
            given.write(settings.encode())
    return process


def read_told(lines: bytes) -> list[Told]:
    """The lines that children wrote."""
    return [json.loads(line) for line in lines.splitlines()]


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
