"""A run of faults, in turn, under load: kills, pauses, broker restarts, a full disk.

    python -m tools.fault_run [--minutes 10] [--seed N] [--clients 16]

Starts a real Kafka, three nodes and Nginx in a scratch folder. Clients create, update and delete
through Nginx and at the nodes themselves, half of it with an Idempotency-Key. After each fault it
waits until the nodes that were hit are ready and have acknowledged a write, by themselves. At the
end it reads the topic and compares, as `make cluster-check` does, and exits with 1 where a write
that was acknowledged is lost, anything else is wrong, or a node did not come back.

The last node stands on a disk of its own, a small tmpfs, which is filled. That takes root; without
it this fault is left out, and the run says so.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tools.check_load import Connection, Load
from tools.cluster import Cluster, ClusterNode
from tools.cluster_check import SHOWN_MAX, Check
from tools.fault_plan import Fault, Recovery, acknowledged, lost, not_back, plan, table
from tools.faults import DISK_SIZE, DiskMissing, Faults, small_disk

NODES: Final = 3
QUIET_S: Final = 3.0
"""Between two faults, once everything is back."""

BACK_WAIT_S: Final = 60.0
PROBE_S: Final = 0.1
CLIENT_PAUSE_S: Final = 0.05
"""Of a client between two writes: hundreds a second in all, so that the whole history fits."""


def main() -> None:
    """Run, print, and exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.fault_run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        disk: int | None = NODES - 1
        try:
            opened.enter_context(small_disk(folder / f"node-{NODES}"))
            print(f"node-{NODES} stands on a disk of {DISK_SIZE}")
        except DiskMissing as missing:
            disk = None
            print(f"LEFT OUT: the full disk, since none can be mounted here: {missing}")
        print(f"starting Kafka, {NODES} nodes and Nginx …", flush=True)
        cluster = opened.enter_context(Cluster(folder, nodes=NODES))
        run = FaultRun(cluster, arguments.clients, arguments.seed, disk)
        wrong = asyncio.run(run.run(60 * arguments.minutes))
    for line in wrong[:SHOWN_MAX]:
        print(f"VIOLATION {line}")
    print(f"{len(wrong)} violations")
    sys.exit(1 if wrong else 0)


class FaultRun:
    """One run.

    Args:
        cluster: started.
        clients: how many write at once.
        seed: of their choices, and of the faults.
        disk: index of the node whose disk can be filled, None for none.
    """

    def __init__(self, cluster: Cluster, clients: int, seed: int, disk: int | None) -> None:
        self._cluster = cluster
        self._seed = seed
        self._disk = disk
        # Every second client writes through Nginx, the others at one node each.
        ports = [port for node in cluster.nodes for port in (cluster.port, node.port)]
        self._load = Load(cluster.port, clients, sys.maxsize, seed, tuple(ports), CLIENT_PAUSE_S)
        self._faults = Faults(cluster, _state)
        self._probes = itertools.count()
        self._begun = 0.0

    async def run(self, seconds: float) -> list[str]:
        """Load and faults for that long, then the judgement; the violations."""
        print(f"seed {self._seed}, {self._load.clients} clients, {seconds:.0f} s", flush=True)
        self._begun = time.monotonic()
        load = asyncio.create_task(self._load.run())
        recoveries: list[Recovery] = []
        try:
            for fault in plan(self._seed, NODES, self._disk):
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
        wrong = await check.judge() + not_back(recoveries)
        gone = lost(self._load.history, check.model)
        wrong += [f"acknowledged, and lost: {operation}" for operation in gone]
        print("\n".join(table(recoveries)))
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


def _state(node: ClusterNode) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=5)
    try:
        connection.request("GET", "/-/cluster")
        return str(json.load(connection.getresponse())["state"])
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


if __name__ == "__main__":
    main()
