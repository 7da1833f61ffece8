"""Faults made on a running cluster: kills, pauses, restarts, a full disk. All by process id.

Each is a call that makes the fault, keeps it up for as long as it takes, and takes its cause
away. Nobody starts a node by hand: its supervisor does, or the cluster's keeper, which stands
in for systemd.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools.cluster import Cluster, ClusterNode
from tools.fault_plan import Fault
from tools.kafka import KafkaBroker

PAUSE_S: Final = 5.0
BROKER_PAUSE_S: Final = 12.0
"""Longer than a write waits for its outcome."""

GONE_WAIT_S: Final = 10.0
FULL_WAIT_S: Final = 30.0
FULL_S: Final = 12.0
DISK_SIZE: Final = "256m"
_CHUNK: Final = bytes(1 << 20)


class DiskMissing(Exception):
    """No disk of its own can be given to a node here; says why."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A tmpfs of `DISK_SIZE` at that folder.

    Raises:
        DiskMissing: it cannot be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DiskMissing(f"no mount: {error.strerror}") from error
    if done.returncode != 0:
        raise DiskMissing(done.stderr.strip() or "mount failed")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


class Faults:
    """Makes faults, and takes every one of them back.

    Args:
        cluster: started.
        state: asks a node for its state.
    """

    def __init__(self, cluster: Cluster, state: Callable[[ClusterNode], str]) -> None:
        self._cluster = cluster
        self._state = state
        self._stopped: list[int] = []
        self._balloons: list[Path] = []
        self._kinds: dict[str, Callable[[int], None]] = {
            "node process killed": lambda node: self._kill_child(node, "node"),
            "worker killed": lambda node: self._kill_child(node, "worker"),
            "whole node killed": self._kill_tree,
            "node paused": self._pause_node,
            "broker killed": lambda _: self._restart_broker(clean=False),
            "broker restarted": lambda _: self._restart_broker(clean=True),
            "broker paused": lambda _: self._pause([self._broker.pid], BROKER_PAUSE_S),
            "disk full": self._fill_disk,
        }

    def make(self, fault: Fault) -> float:
        """Make one and take its cause away; how long it lasted, in seconds."""
        begun = time.monotonic()
        self._kinds[fault.kind](fault.node or 0)
        return time.monotonic() - begun if _lasts(fault.kind) else 0.0

    def heal(self) -> None:
        """Take back whatever still stands."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for balloon in self._balloons:
            balloon.unlink(missing_ok=True)
        if not self._broker.running:
            self._broker.start()
            self._broker.wait_started()

    @property
    def _broker(self) -> KafkaBroker:
        return self._cluster.kafka.brokers[0]

    def _kill_child(self, node: int, role: str) -> None:
        pids = [pid for pid in self._tree(node)[1:] if f"cli.child {role}" in _command(pid)]
        if not pids:
            raise RuntimeError(f"node-{node + 1} has no {role} process now")
        os.kill(pids[0], signal.SIGKILL)
        _wait_gone(pids[:1])

    def _kill_tree(self, node: int) -> None:
        """Its parent only: the children end with it."""
        pids = self._tree(node)
        os.kill(pids[0], signal.SIGKILL)
        _wait_gone(pids)

    def _pause_node(self, node: int) -> None:
        self._pause(self._tree(node), PAUSE_S)

    def _pause(self, pids: list[int], pause_s: float) -> None:
        self._stopped = pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(pause_s)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self._stopped = []

    def _restart_broker(self, *, clean: bool) -> None:
        if clean:
            self._broker.stop()
        else:
            self._broker.kill()
        self._broker.start()
        self._broker.wait_started()

    def _fill_disk(self, index: int) -> None:
        """Fill it until the node says so, keep it full for a while, and let go of the space."""
        node = self._cluster.nodes[index]
        balloon = node.data / "balloon"
        self._balloons.append(balloon)
        deadline = time.monotonic() + FULL_WAIT_S
        try:
            while self._state(node) != "strained":
                _blow_up(balloon)
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{node.name} took no note of its full disk")
                time.sleep(0.05)
            time.sleep(FULL_S)
        finally:
            balloon.unlink(missing_ok=True)

    def _tree(self, index: int) -> list[int]:
        """Process ids of a node: its supervisor first, then the supervisor's children."""
        process = self._cluster.nodes[index].process
        if process is None:
            raise RuntimeError(f"node-{index + 1} does not run")
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [process.pid, *map(int, listed.stdout.split())]


def _lasts(kind: str) -> bool:
    return not (kind.endswith("killed") and kind != "broker killed")


def _command(pid: int) -> str:
    """How it was called; empty for a process that is dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _wait_gone(pids: list[int]) -> None:
    """Return once they are dead; what they still answer would be no sign of life."""
    deadline = time.monotonic() + GONE_WAIT_S
    while any(map(_command, pids)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"still alive after SIGKILL: {pids}")
        time.sleep(0.002)


def _blow_up(balloon: Path) -> None:
    """Write until there is no space at all."""
    with contextlib.suppress(OSError), balloon.open("ab", buffering=0) as file:
        chunk = _CHUNK
        while chunk:
            written = file.write(chunk)
            if written < len(chunk):
                chunk = chunk[: len(chunk) // 2]
