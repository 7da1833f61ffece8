"""A run of faults, in turn, under load: of processes, links, brokers, records, disks, clocks.

    python -m clusterlite.testing.faults [--minutes 10] [--seed N] [--brokers 1|3] [--only K]

Starts a real Kafka, three nodes and Nginx in a scratch folder. Clients create, update and delete
through Nginx and at the nodes themselves, half of it with an Idempotency-Key. After each fault it
waits until the nodes that were hit are ready and have acknowledged a write, by themselves. At the
end it reads the topic and compares, as `make cluster-check` does, and exits with 1 where a write
that was acknowledged is lost, anything else is wrong, or a node did not come back.

The last node stands on a disk of its own, a small tmpfs, which is filled; the one before it on an
ext4 image whose power fails; the first has a clock of its own. What these take (root, strace,
libfaketime) may be missing: then the fault is left out, and the run says so.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from clusterlite.testing.cluster.links import Links
from clusterlite.testing.cluster.nodes import Cluster, ClusterNode
from clusterlite.testing.faults.check_load import Connection, Load
from clusterlite.testing.faults.clock import find_faketime, own_clock
from clusterlite.testing.faults.cluster_check import SHOWN_MAX, Check
from clusterlite.testing.faults.disk import DiskMissing, loop_disk, small_disk
from clusterlite.testing.faults.faults import Faults, Parts
from clusterlite.testing.faults.network import NetworkMissing, enter_own_network
from clusterlite.testing.faults.plan import (
    Fault,
    Recovery,
    acknowledged,
    lost,
    not_back,
    plan,
    table,
)

NODES: Final = 3
QUIET_S: Final = 3.0
"""Between two faults, once everything is back."""

BACK_WAIT_S: Final = 60.0
PROBE_S: Final = 0.1
CLIENT_PAUSE_S: Final = 0.05
"""Of a client between two writes: hundreds a second in all, so that the whole history fits."""


def main() -> None:
    """Run, print, and exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterlite.testing.faults", description=__doc__
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--only", action="append", default=[], help="a kind of fault")
    arguments = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        parts = _parts(folder, opened)
        links = [opened.enter_context(Links()) for _ in range(NODES)]
        cluster = Cluster(folder, nodes=NODES, brokers=arguments.brokers, links=links)
        if parts.clock is not None:
            cluster.nodes[parts.clock[0]].environment = own_clock(parts.clock[1])
        print(f"starting Kafka, {NODES} nodes and Nginx …", flush=True)
        opened.enter_context(cluster)
        faults = Faults(cluster, _status, parts, arguments.seed)
        kinds = {
            kind: nodes
            for kind, nodes in faults.targets().items()
            if kind in arguments.only or not arguments.only
        }
        run = FaultRun(cluster, faults, kinds, arguments.clients, arguments.seed)
        wrong = asyncio.run(run.run(60 * arguments.minutes))
    for line in wrong[:SHOWN_MAX]:
        print(f"VIOLATION {line}")
    print(f"{len(wrong)} violations")
    sys.exit(1 if wrong else 0)


def _parts(folder: Path, opened: ExitStack) -> Parts:
    """What is here to make faults with; says what is missing."""
    parts = Parts()
    try:
        opened.enter_context(small_disk(folder / f"node-{NODES}"))
        parts = parts._replace(full=NODES - 1)
        image = folder / f"node-{NODES - 1}.image"
        disk = opened.enter_context(loop_disk(image, folder / f"node-{NODES - 1}"))
        parts = parts._replace(powerless=(NODES - 2, disk))
    except DiskMissing as missing:
        print(f"LEFT OUT: faults of a disk, since none can be mounted here: {missing}")
    if shutil.which("strace") is None or os.geteuid() != 0:
        print("LEFT OUT: faults at system calls, which take strace, and root")
    else:
        parts = parts._replace(traced=True)
    try:
        enter_own_network()
        parts = parts._replace(filtered=True)
    except NetworkMissing as missing:
        print(f"LEFT OUT: packets lost, since there is no network of its own: {missing}")
    if find_faketime() is None:
        print("LEFT OUT: clock jumps, which take libfaketime")
    else:
        parts = parts._replace(clock=(0, folder / "node-1.time"))
    return parts


class FaultRun:
    """One run.

    Args:
        cluster: started.
        faults: that are made on it.
        kinds: which of them, with the nodes that each can hit.
        clients: how many write at once.
        seed: of their choices, and of the faults' order.
    """

    def __init__(
        self,
        cluster: Cluster,
        faults: Faults,
        kinds: dict[str, tuple[int, ...] | None],
        clients: int,
        seed: int,
    ) -> None:
        self._cluster = cluster
        self._seed = seed
        self._kinds = kinds
        # Every second client writes through Nginx, the others at one node each.
        ports = [port for node in cluster.nodes for port in (cluster.port, node.port)]
        self._load = Load(cluster.port, clients, sys.maxsize, seed, tuple(ports), CLIENT_PAUSE_S)
        self._faults = faults
        self._probes = itertools.count()
        self._begun = 0.0

    async def run(self, seconds: float) -> list[str]:
        """Load and faults for that long, then the judgement; the violations."""
        print(f"seed {self._seed}, {self._load.clients} clients, {seconds:.0f} s", flush=True)
        self._begun = time.monotonic()
        load = asyncio.create_task(self._load.run())
        recoveries: list[Recovery] = []
        try:
            for fault in plan(self._seed, self._kinds):
                await asyncio.sleep(QUIET_S)
                if load.done() or time.monotonic() - self._begun > seconds:
                    break
                recoveries.append(await self._make(fault))
                print(recoveries[-1].line(), flush=True)
        finally:
            await asyncio.to_thread(self._faults.heal)
            self._load.stopped = True
        await load
        count, took = len(self._load.history), time.monotonic() - self._begun
        print(f"{count} operations in {took:.0f} s ({count / took:.0f}/s); comparing …", flush=True)
        check = Check(self._cluster.folder / "state.json", self._load)
        wrong = await check.judge() + not_back(recoveries) + self._faults.wrong
        gone = lost(self._load.history, check.model)
        wrong += [f"acknowledged, and lost: {operation}" for operation in gone]
        print("\n".join(table(recoveries) + self._faults.told()))
        print(f"acknowledged {len(acknowledged(self._load.history))}, lost {len(gone)}")
        return wrong

    async def _make(self, fault: Fault) -> Recovery:
        """Make a fault, and wait until every node that it hit is back."""
        before = Counter(self._load.answers)
        at = time.monotonic()
        lasted_s = await asyncio.to_thread(self._faults.make, fault)
        gone = at + lasted_s
        nodes = self._cluster.nodes if fault.node is None else [self._cluster.nodes[fault.node]]
        back = await asyncio.gather(*(self._back(node, gone) for node in nodes))
        for node, time_s in zip(nodes, back, strict=True):
            if time_s is None:
                print(f"{node.name} is not back: {_status(node)}", flush=True)
        times = [time_s for time_s in back if time_s is not None]
        back_s = max(times) if len(times) == len(nodes) else None
        answers = self._load.answers - before
        return Recovery(fault, at - self._begun, lasted_s, back_s, answers)

    async def _back(self, node: ClusterNode, since: float) -> float | None:
        """Seconds until it acknowledges a write and is ready; None where that takes too long."""
        while time.monotonic() - since < BACK_WAIT_S:
            connection = Connection(node.port)
            marker = f"probe-{self._seed}-{next(self._probes)}"
            probe = await self._load.create(connection, marker)
            ready = await connection.request("GET", "/-/health/ready")
            await connection.close()
            if probe.fate == "done" and ready is not None and ready.status == 200:
                return time.monotonic() - since
            await asyncio.sleep(PROBE_S)
        return None


def _status(node: ClusterNode) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=5)
    try:
        connection.request("GET", "/-/cluster")
        found: dict[str, Any] = json.load(connection.getresponse())
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    else:
        return found
    finally:
        connection.close()
