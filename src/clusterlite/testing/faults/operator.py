"""What a person at the machines does to nodes: stop and start them, ask, wait, set a replica aside.

Everything that a run reports of halts and cures is counted here. A node is started by nobody but
the cluster's keeper, which stands in for systemd: an operator holds it back while it has to stay
down.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from clusterlite.testing.cluster.nodes import TOPIC, Cluster, ClusterNode

GONE_WAIT_S: Final = 20.0
STATE_WAIT_S: Final = 60.0
_POLL_S: Final = 0.05

Make = Callable[[int], None]


class Kind(NamedTuple):
    """A kind of fault.

    Args:
        make: makes it on the node of that index, and takes its cause away.
        nodes: those that it can hit; None where it hits none, or all.
    """

    make: Make
    nodes: tuple[int, ...] | None = None


class Maker(Protocol):
    """Makes the faults of one part of a cluster."""

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""


class NotAsExpected(Exception):
    """A node did not do what it must under a fault; says which, and what it did."""


class Operator:
    """Acts on the nodes of a cluster, and counts what it saw.

    Args:
        cluster: started.
        status: asks a node for its status; an empty one where it does not answer.
    """

    def __init__(self, cluster: Cluster, status: Callable[[ClusterNode], dict[str, Any]]) -> None:
        self.cluster = cluster
        self._status = status
        self._paused: list[int] = []
        self.seen: Counter[str] = Counter()
        """Halts, detections and cures, in words."""

    @property
    def every(self) -> tuple[int, ...]:
        """Indexes of all nodes."""
        return tuple(range(len(self.cluster.nodes)))

    def status(self, index: int) -> dict[str, Any]:
        """Of one node; an empty one where it does not answer."""
        return self._status(self.cluster.nodes[index])

    # Processes.

    def tree(self, index: int) -> list[int]:
        """Process ids of a node: its supervisor first, then the supervisor's children."""
        process = self.cluster.nodes[index].process
        if process is None:
            raise RuntimeError(f"node-{index + 1} does not run")
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [process.pid, *map(int, listed.stdout.split())]

    def child(self, index: int, role: str) -> int:
        """Process id of its `node` or of a `worker`."""
        pids = [pid for pid in self.tree(index)[1:] if f"cli.child {role}" in command_of(pid)]
        if not pids:
            raise RuntimeError(f"node-{index + 1} has no {role} process now")
        return pids[0]

    def end(self, index: int, number: int) -> None:
        """Signal the supervisor of a node, and return once its whole tree is dead."""
        pids = self.tree(index)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[0], number)
        wait_gone(pids)

    def stop(self, index: int, number: int = signal.SIGTERM) -> ClusterNode:
        """End a node and hold it back."""
        node = self.cluster.nodes[index]
        node.held = True
        self.end(index, number)
        return node

    def let_start(self, index: int) -> None:
        """Let the keeper start it again."""
        self.cluster.nodes[index].held = False

    def restart(self, index: int) -> None:
        """End a node in order; the keeper starts it again."""
        self.end(index, signal.SIGTERM)

    def pause(self, pids: list[int], pause_s: float) -> None:
        """Stop processes for a while, and let them go on."""
        self._paused = pids
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(pause_s)
        self._resume()

    def _resume(self) -> None:
        for pid in self._paused:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._paused = []

    # What nodes say.

    def status_of(self, node: ClusterNode) -> dict[str, Any]:
        """Of any node, one beside the cluster too; an empty one where it does not answer."""
        return self._status(node)

    def wait_state(self, index: int, *states: str, wait_s: float = STATE_WAIT_S) -> dict[str, Any]:
        """Return its status once it is in one of these states.

        Raises:
            NotAsExpected: it was not in time.
        """
        deadline = time.monotonic() + wait_s
        while (found := self.status(index)).get("state") not in states:
            if time.monotonic() > deadline:
                raise NotAsExpected(
                    f"node-{index + 1} is not {' or '.join(states)} within {wait_s:.0f} s: "
                    f"{found.get('state')}, {found.get('reason')}"
                )
            time.sleep(_POLL_S)
        return found

    def wait_ready(self, node: ClusterNode) -> None:
        """Return once a node is ready, one beside the cluster's too.

        Raises:
            NotAsExpected: it was not in time.
        """
        deadline = time.monotonic() + STATE_WAIT_S
        while not node.ready():
            if time.monotonic() > deadline:
                raise NotAsExpected(f"{node.name} is not ready: {self._status(node)}")
            time.sleep(_POLL_S)

    def wait_halt(self, index: int, *reasons: str, wait_s: float = STATE_WAIT_S) -> str:
        """Wait until a node halts for one of these reasons, and count it; the reason.

        Raises:
            NotAsExpected: it did not in time, or for another reason.
        """
        reason = reason_of(self.wait_state(index, "halted", wait_s=wait_s))
        if reason not in reasons:
            raise NotAsExpected(
                f"node-{index + 1} halted with {reason}, not {' or '.join(reasons)}"
            )
        self.seen[f"halt {reason}"] += 1
        return reason

    def wait_refused(self, index: int, reason: str) -> None:
        """Start a node that is held back, see it end for a reason, and count that.

        Raises:
            NotAsExpected: it did not end, or for another reason.
        """
        node = self.cluster.nodes[index]
        said = node.output.stat().st_size
        node.start()
        assert node.process is not None
        try:
            node.process.wait(STATE_WAIT_S)
        except subprocess.TimeoutExpired:
            raise NotAsExpected(f"{node.name} serves, and should refuse: {reason}") from None
        if reason.encode() not in node.output.read_bytes()[said:]:
            raise NotAsExpected(f"{node.name} ended without the reason {reason}: {node.output}")
        self.seen[f"refused start {reason}"] += 1

    # Cures.

    def verify(self, data: Path) -> tuple[str, dict[str, Any]]:
        """What `clusterlite verify` says of a replica: good, damaged or unreadable; and what of."""
        done = self.clusterlite("verify", str(data), "--json")
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return "unreadable", {}
        return ("good" if done.returncode == 0 else "damaged"), found

    def repair(self, index: int) -> None:
        """Stop a node, and let it derive another replica from the log, by `clusterlite repair`.

        Raises:
            NotAsExpected: it refused.
        """
        node = self.stop(index)
        for earlier in node.data.glob("aside-*"):  # its disk may be small
            shutil.rmtree(earlier)
        log = f"kafka://{self.cluster.kafka.address}/{TOPIC}"
        self._cure(node, "repair", str(node.data), "--log", log)
        self.let_start(index)

    def reset(self, index: int) -> None:
        """The same by `clusterlite reset`.

        Raises:
            NotAsExpected: it refused.
        """
        node = self.stop(index)
        self._cure(node, "reset", "--data", str(node.data))
        self.let_start(index)

    def _cure(self, node: ClusterNode, command: str, *arguments: str) -> None:
        done = self.clusterlite(command, *arguments, "--yes")
        if done.returncode != 0:
            raise NotAsExpected(f"{command} of {node.name} refused: {done.stderr.strip()}")
        self.seen[f"cure clusterlite {command}"] += 1

    def restart_halted(self, index: int, cure: str) -> None:
        """End a halted node whose cause is gone, so that it is started again; counted."""
        self.restart(index)
        self.seen[f"cure {cure}"] += 1

    def clusterlite(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product."""
        command = [sys.executable, "-m", "clusterlite", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def heal(self) -> None:
        """Let everything run that was paused or held back."""
        self._resume()
        for node in self.cluster.nodes:
            node.held = False


def reason_of(status: dict[str, Any]) -> str:
    """The name of what a node halted for; empty where it says none."""
    found = status.get("reason") or {}
    return str(found.get("reason") or found.get("code") or "")


def stop_tree(node: ClusterNode) -> None:
    """End a node beside the cluster, however it stands."""
    if node.process is not None:
        with contextlib.suppress(ProcessLookupError):
            node.process.terminate()
        node.process.wait(GONE_WAIT_S)


def command_of(pid: int) -> str:
    """How a process was called; empty for one that is dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def wait_gone(pids: list[int]) -> None:
    """Return once they are dead; what they still answer would be no sign of life."""
    deadline = time.monotonic() + GONE_WAIT_S
    while any(map(command_of, pids)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"still alive after the signal: {pids}")
        time.sleep(0.002)
