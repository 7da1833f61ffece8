"""Faults made on a running cluster, of every kind that this machine can make.

Each is a call that makes the fault, keeps it up for as long as it takes, and takes its cause
away. Nobody starts a node by hand: its supervisor does, or the cluster's keeper, which stands in
for systemd. Where a node rightly halts, the cure of `docs/reference/halts.md` is done as an
operator would. Every process is ended by its id.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException

from clusterlite.testing.cluster.broker import KafkaNotStarted
from clusterlite.testing.cluster.nodes import Cluster, ClusterNode
from clusterlite.testing.faults.brokers import Brokers
from clusterlite.testing.faults.calls import Calls
from clusterlite.testing.faults.clock import Clock
from clusterlite.testing.faults.disk import LoopDisk
from clusterlite.testing.faults.disks import Disks
from clusterlite.testing.faults.embedded import Embedded
from clusterlite.testing.faults.files import Files
from clusterlite.testing.faults.folders import Folders
from clusterlite.testing.faults.limits import Limits
from clusterlite.testing.faults.logs import Logs
from clusterlite.testing.faults.network import Network
from clusterlite.testing.faults.operator import Kind, Maker, NotAsExpected, Operator
from clusterlite.testing.faults.plan import Fault
from clusterlite.testing.faults.processes import Processes

_NOT_MADE: Final = (RuntimeError, OSError, KafkaException, KafkaNotStarted)


class Parts(NamedTuple):
    """What some faults need.

    Args:
        full: index of the node whose disk can be filled, None for none.
        powerless: index of the node whose disk can lose its power, and that disk.
        clock: index of the node whose clock can jump, and the file that says how far.
        traced: whether strace is here, for faults at system calls.
        filtered: whether the run is in a network of its own, for packets that are lost.
    """

    full: int | None = None
    powerless: tuple[int, LoopDisk] | None = None
    clock: tuple[int, Path] | None = None
    traced: bool = False
    filtered: bool = False


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
        self._operator = operator = Operator(cluster, status)
        chance = random.Random(seed)
        folder = cluster.folder / "faults"
        folder.mkdir(exist_ok=True)
        network = Network(operator, chance, filtered=parts.filtered)
        logs = Logs(operator, chance, folder)
        brokers = Brokers(operator, chance)
        disks = Disks(operator, parts.full, parts.powerless)
        makers: list[Maker] = [
            Processes(operator),
            network,
            brokers,
            logs,
            disks,
            Files(operator, chance),
            Folders(operator, folder),
            Embedded(operator, chance, folder, traced=parts.traced),
            Limits(operator),
        ]
        # In this order: a broker that has another's data must not be started with it.
        self._heals = [logs.heal, brokers.heal, network.heal, disks.heal, operator.heal]
        if parts.traced:
            makers.append(Calls(operator, chance))
        if parts.clock is not None:
            clock = Clock(*parts.clock)
            makers.append(clock)
            self._heals.append(clock.heal)
        self._kinds: dict[str, Kind] = {}
        for maker in makers:
            self._kinds |= maker.kinds()
        self.wrong: list[str] = []
        """What a node did under a fault that it must not do."""

    def targets(self) -> dict[str, tuple[int, ...] | None]:
        """The kinds that can be made here, with the nodes each can hit; None for no node."""
        return {name: kind.nodes for name, kind in self._kinds.items()}

    def make(self, fault: Fault) -> float:
        """Make one and take its cause away; how long it lasted, in seconds."""
        begun = time.monotonic()
        try:
            self._kinds[fault.kind].make(fault.node or 0)
        except NotAsExpected as found:
            self.wrong.append(f"{fault.kind}: {found}")
            self.heal()
        except _NOT_MADE as found:
            self.wrong.append(f"{fault.kind}: it could not be made: {found!r}")
            self.heal()
        return time.monotonic() - begun

    def heal(self) -> None:
        """Take back whatever still stands."""
        for heal in self._heals:
            heal()

    def told(self) -> list[str]:
        """What was seen of halts, refusals, recoveries and cures: a line each, with its count."""
        return [f"{count:>6} x {name}" for name, count in sorted(self._operator.seen.items())]
