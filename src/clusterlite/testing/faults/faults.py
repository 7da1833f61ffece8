"""Faults made on a running cluster. Every process is ended by its id, every cause taken away.

Each is a call that makes the fault, keeps it up for as long as it takes, and takes its cause
away. Nobody starts a node by hand: its supervisor does, or the cluster's keeper, which stands
in for systemd. One fault needs an operator: a node that halts after an I/O error is told to end.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from clusterlite.testing.cluster.broker import KafkaBroker
from clusterlite.testing.cluster.nodes import TOPIC, Cluster, ClusterNode
from clusterlite.testing.faults.disk import LoopDisk, fill, inject
from clusterlite.testing.faults.plan import Fault
from clusterlite.testing.faults.records import COPIES_MAX, last_records, poison, produce

PAUSE_S: Final = 5.0
BROKER_PAUSE_S: Final = 12.0
"""Longer than a write waits for its outcome."""

LINK_S: Final = 6.0
CLOCK_S: Final = 3.0
CLOCK_JUMPS: Final = ("+3700", "-3700", "+0")
GONE_WAIT_S: Final = 10.0
FULL_WAIT_S: Final = 30.0
FULL_S: Final = 12.0


class Parts(NamedTuple):
    """What some faults need.

    Args:
        full: index of the node whose disk can be filled, None for none.
        powerless: index of the node whose disk can lose its power, and that disk.
        clock: index of the node whose clock can jump, and the file that says how far.
        traced: whether strace is here, for faults at system calls.
    """

    full: int | None = None
    powerless: tuple[int, LoopDisk] | None = None
    clock: tuple[int, Path] | None = None
    traced: bool = False


class Faults:
    """Makes faults, and takes every one of them back.

    Args:
        cluster: started.
        status: asks a node for its status; an empty one where it does not answer.
        parts: what is there to make faults with.
        seed: of the choices within a fault.
    """

    def __init__(
        self,
        cluster: Cluster,
        status: Callable[[ClusterNode], dict[str, Any]],
        parts: Parts,
        seed: int,
    ) -> None:
        self._cluster = cluster
        self._status = status
        self._parts = parts
        self._chance = random.Random(seed)
        self._stopped: list[int] = []
        self._balloons: list[Path] = []
        self._kinds: dict[str, Callable[[int], None]] = {
            "node process killed": lambda node: self._kill_child(node, "node"),
            "worker killed": lambda node: self._kill_child(node, "worker"),
            "whole node killed": self._kill_tree,
            "node paused": self._pause_node,
            "link cut": lambda node: self._break_link(node, "cut"),
            "link deaf": lambda node: self._break_link(node, "deaf"),
            "link refused": lambda node: self._break_link(node, "refused"),
            "killed at a write": self._kill_at_write,
            "write error": self._fail_write,
            "broker killed": lambda _: self._restart_broker(clean=False),
            "broker restarted": lambda _: self._restart_broker(clean=True),
            "broker paused": lambda _: self._pause([self._broker().pid], BROKER_PAUSE_S),
            "records duplicated": lambda _: self._duplicate(),
            "poison records": lambda _: self._poison(),
            "disk full": self._fill_disk,
            "power lost": self._lose_power,
            "clock jumps": self._jump,
        }

    def targets(self) -> dict[str, tuple[int, ...] | None]:
        """The kinds that can be made here, with the nodes each can hit; None for no node."""
        parts = self._parts
        every = tuple(range(len(self._cluster.nodes)))
        found: dict[str, tuple[int, ...] | None] = dict.fromkeys(
            ("node process killed", "worker killed", "whole node killed", "node paused"), every
        )
        if self._cluster.links:
            found |= dict.fromkeys(("link cut", "link deaf", "link refused"), every)
        if parts.traced:
            found |= dict.fromkeys(("killed at a write", "write error"), every)
        found |= dict.fromkeys(("broker killed", "broker restarted", "broker paused"))
        found |= dict.fromkeys(("records duplicated", "poison records"))
        if parts.full is not None:
            found["disk full"] = (parts.full,)
        if parts.powerless is not None:
            found["power lost"] = (parts.powerless[0],)
        if parts.clock is not None:
            found["clock jumps"] = (parts.clock[0],)
        return found

    def make(self, fault: Fault) -> float:
        """Make one and take its cause away; how long it lasted, in seconds."""
        begun = time.monotonic()
        self._kinds[fault.kind](fault.node or 0)
        return time.monotonic() - begun

    def heal(self) -> None:
        """Take back whatever still stands."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for balloon in self._balloons:
            balloon.unlink(missing_ok=True)
        for link in self._cluster.links:
            link.set("open")
        for node in self._cluster.nodes:
            node.held = False
        for broker in self._cluster.kafka.brokers:
            if not broker.running:
                broker.start()
                broker.wait_started()

    # Processes.

    def _kill_child(self, node: int, role: str) -> None:
        pid = self._child(node, role)
        os.kill(pid, signal.SIGKILL)
        _wait_gone([pid])

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

    def _kill_at_write(self, node: int) -> None:
        pid = self._child(node, "node")
        inject(pid, "signal=SIGKILL", self._chance, lambda: not _command(pid))

    # The network.

    def _break_link(self, node: int, mode: str) -> None:
        self._cluster.links[node].set(mode)
        time.sleep(LINK_S)
        self._cluster.links[node].set("open")

    # Brokers and their records.

    def _broker(self) -> KafkaBroker:
        return self._chance.choice(self._cluster.kafka.brokers)

    def _restart_broker(self, *, clean: bool) -> None:
        broker = self._broker()
        if clean:
            broker.stop()
        else:
            broker.kill()
        broker.start()
        broker.wait_started()

    def _duplicate(self) -> None:
        brokers = self._cluster.kafka.address
        count = self._chance.randint(1, COPIES_MAX)
        produce(brokers, TOPIC, last_records(brokers, TOPIC, count))

    def _poison(self) -> None:
        ids = {str(self._status(node).get("cluster", "")) for node in self._cluster.nodes}
        produce(self._cluster.kafka.address, TOPIC, poison(max(ids), self._chance))

    # Disks and clocks.

    def _fail_write(self, index: int) -> None:
        """It halts, since nobody knows what is on its disk now; the operator ends it."""
        node = self._cluster.nodes[index]
        pid = self._child(index, "node")
        inject(pid, "error=EIO", self._chance, lambda: self._status(node).get("state") == "halted")
        pids = self._tree(index)
        os.kill(pids[0], signal.SIGTERM)
        _wait_gone(pids)

    def _fill_disk(self, index: int) -> None:
        """Fill it until the node says so, keep it full for a while, and let go of the space."""
        node = self._cluster.nodes[index]
        balloon = node.data / "balloon"
        self._balloons.append(balloon)
        try:
            fill(balloon, lambda: self._status(node).get("state") == "strained", FULL_WAIT_S)
            time.sleep(FULL_S)
        finally:
            balloon.unlink(missing_ok=True)

    def _lose_power(self, index: int) -> None:
        assert self._parts.powerless is not None
        disk = self._parts.powerless[1]
        node = self._cluster.nodes[index]
        node.held = True
        try:
            disk.lose_power()
            self._kill_tree(index)
            disk.unmount()
            disk.mount()
        finally:
            node.held = False

    def _jump(self, _: int) -> None:
        assert self._parts.clock is not None
        for jump in CLOCK_JUMPS:
            self._parts.clock[1].write_text(f"{jump}\n")
            time.sleep(CLOCK_S)

    # Who they are done to.

    def _child(self, node: int, role: str) -> int:
        pids = [pid for pid in self._tree(node)[1:] if f"cli.child {role}" in _command(pid)]
        if not pids:
            raise RuntimeError(f"node-{node + 1} has no {role} process now")
        return pids[0]

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
