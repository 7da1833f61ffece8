"""Faults at system calls of a running node process, by strace, which takes root.

SQLite writes by pwrite64 and syncs by fdatasync. A replica on Kafka syncs only when its WAL is
moved into its file, so a fault there strikes at a moment that the node itself has chosen.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from clusterlite.testing.faults.operator import Kind, NotAsExpected, Operator, command_of

CALLS_MAX: Final = 40
"""A fault strikes at one of the next so many calls."""

STRIKE_WAIT_S: Final = 30.0
DETACH_WAIT_S: Final = 5.0
SLOW_S: Final = 10.0
DELAY_US: Final = 50_000
FULL_S: Final = 5.0


class Calls:
    """Faults at calls of nodes.

    Args:
        operator: acts on the nodes.
        chance: picks the call that is struck.
    """

    def __init__(self, operator: Operator, chance: random.Random) -> None:
        self._operator = operator
        self._chance = chance

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        return {
            "killed at a write": Kind(self._kill_at_write, every),
            "killed at a call": Kind(self._kill_at_call, every),
            "write error": Kind(lambda node: self._fail(node, "pwrite64", ""), every),
            "write errors for ever": Kind(lambda node: self._fail(node, "pwrite64", "+"), every),
            "read errors for ever": Kind(self._fail_reads, every),
            "no space for writes": Kind(self._refuse_space, every),
            "slow disk": Kind(self._slow, every),
        }

    def _kill_at_write(self, node: int) -> None:
        self._kill(node, "pwrite64", CALLS_MAX)

    def _kill_at_call(self, node: int) -> None:
        """At any call that it makes, of the disk, the network or its threads."""
        self._kill(node, "all", 50 * CALLS_MAX)

    def _kill(self, node: int, calls: str, most: int) -> None:
        pid = self._operator.child(node, "node")
        when = self._chance.randint(1, most)
        with injected(pid, calls, f"signal=SIGKILL:when={when}"):
            _wait_struck(lambda: not command_of(pid), f"SIGKILL at {calls} {when}")

    def _fail(self, node: int, call: str, on: str) -> None:
        """It halts, since nobody knows what is on its disk now; the operator ends it."""
        pid = self._operator.child(node, "node")
        when = self._chance.randint(1, CALLS_MAX)
        with injected(pid, call, f"error=EIO:when={when}{on}"):
            self._operator.wait_halt(node, "replica_io", "replica_corrupt", wait_s=STRIKE_WAIT_S)
        self._operator.restart_halted(node, "restart after an I/O error")

    def _fail_reads(self, node: int) -> None:
        """What it has in memory it needs not read: it halts, or never notices."""
        pid = self._operator.child(node, "node")
        with injected(pid, "pread64", "error=EIO:when=1+"):
            try:
                halted = ("replica_io", "replica_corrupt")
                self._operator.wait_halt(node, *halted, wait_s=SLOW_S)
            except NotAsExpected:
                if self._operator.status(node).get("state") == "halted":
                    raise
                self._operator.seen["read errors not met: all in memory"] += 1
                return
        self._operator.restart_halted(node, "restart after an I/O error")

    def _refuse_space(self, node: int) -> None:
        """Strained while it lasts; it goes on by itself."""
        pid = self._operator.child(node, "node")
        with injected(pid, "pwrite64", "error=ENOSPC:when=1+"):
            self._operator.wait_state(node, "strained", wait_s=STRIKE_WAIT_S)
            time.sleep(FULL_S)
        self._operator.seen["recovery strained, then space again"] += 1

    def _slow(self, node: int) -> None:
        pid = self._operator.child(node, "node")
        with injected(pid, "pwrite64,fdatasync", f"delay_enter={DELAY_US}"):
            time.sleep(SLOW_S)


@contextmanager
def injected(pid: int, calls: str, fault: str) -> Iterator[None]:
    """Have system calls of a process do something else, for as long as this is open.

    Args:
        pid: of the process.
        calls: names of the calls, `all` for each.
        fault: as strace spells it: `error=EIO:when=3+`, `signal=SIGKILL`, `delay_enter=1000`.

    Raises:
        RuntimeError: strace could not attach.
    """
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-p", str(pid)]
    command += ["-e", f"inject={calls}:{fault}"]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        if "attached" not in said and command_of(pid):
            raise RuntimeError(f"strace did not attach to {pid}: {said.strip()}")
        yield
    finally:
        _detach(tracer)


def _detach(tracer: subprocess.Popen[str]) -> None:
    """In order, since a call may be under way; strace may wait for ever for one that it killed."""
    with contextlib.suppress(ProcessLookupError):
        tracer.terminate()
    try:
        tracer.communicate(timeout=DETACH_WAIT_S)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.communicate()


def _wait_struck(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + STRIKE_WAIT_S
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not strike")
        time.sleep(0.02)
