"""A run of faults, in turn, under load: of processes, links, brokers, records, disks, clocks.

    python -m clusterlite.testing.faults [--minutes 10] [--steps N] [--seed N] [--clients 16]
        [--brokers 1|3] [--workload NAME]… [--only FAULT]… [--no-faults] [--keep]

Starts a real Kafka, three nodes and Nginx in a scratch folder. Clients run the workloads of
`clusterlite.testing.load` through Nginx and at the nodes themselves. After each fault it waits
until the nodes that were hit are ready and have acknowledged a write, by themselves; a quarter of
the time nothing is broken. At the end everything is healed, what is unknown is settled, and
`judge` compares what clients were told with the topic and the nodes. It exits with 1 where
anything is wrong or a node did not come back, and keeps the history then.

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
from subprocess import SubprocessError
from typing import Any, Final

from clusterlite.testing.cluster.links import Links
from clusterlite.testing.cluster.nodes import Cluster, ClusterNode
from clusterlite.testing.cluster.place import CACHE
from clusterlite.testing.faults.clock import find_faketime, own_clock
from clusterlite.testing.faults.disk import DiskMissing, loop_disk, small_disk
from clusterlite.testing.faults.faults import Faults, Parts
from clusterlite.testing.faults.judge import Judgement
from clusterlite.testing.faults.network import NetworkMissing, enter_own_network
from clusterlite.testing.faults.plan import (
    Fault,
    Recovery,
    chosen,
    not_back,
    plan,
    quiet_s,
    table,
)
from clusterlite.testing.load.client import Client, Tally
from clusterlite.testing.load.connection import Connection
from clusterlite.testing.load.load import NO_STEPS, Load
from clusterlite.testing.load.workloads import WORKLOADS

NODES: Final = 3
QUIET_MIN_S: Final = 1.0
BACK_WAIT_S: Final = 60.0
PROBE_S: Final = 0.1
CLIENT_PAUSE_S: Final = 0.05
"""Of a client between two steps, on average: hundreds of operations a second in all."""

SHOWN_MAX: Final = 20
KEPT: Final = CACHE / "faults"
"""Where the history of a red run is kept."""

ENTITIES: Final = ("clusterlite.testing.load.entities",)


def main() -> None:
    """Run, print, and exit with 1 where anything is wrong."""
    arguments = _arguments()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        parts = _parts(folder, opened)
        links = [opened.enter_context(Links()) for _ in range(NODES)]
        cluster = Cluster(
            folder, nodes=NODES, brokers=arguments.brokers, entities=ENTITIES, links=links
        )
        if parts.clock is not None:
            cluster.nodes[parts.clock[0]].environment = own_clock(parts.clock[1])
        print(f"starting Kafka, {NODES} nodes and Nginx …", flush=True)
        opened.enter_context(cluster)
        faults = Faults(cluster, _status, parts, arguments.seed)
        kinds = {} if arguments.no_faults else chosen(faults.targets(), arguments.only)
        load = Load(
            [cluster.port, *(node.port for node in cluster.nodes)],
            [WORKLOADS[name]() for name in arguments.workload or WORKLOADS],
            arguments.clients,
            arguments.seed,
            arguments.steps,
            CLIENT_PAUSE_S,
        )
        run = FaultRun(cluster, faults, kinds, load, arguments.seed, keep=arguments.keep)
        wrong = asyncio.run(run.run(60 * arguments.minutes))
    for line in wrong[:SHOWN_MAX]:
        print(f"VIOLATION {line}")
    print(f"{len(wrong)} violations")
    sys.exit(1 if wrong else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m clusterlite.testing.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of load, at most")
    parser.add_argument("--steps", type=int, default=NO_STEPS, help="of all clients, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument(
        "--workload", action="append", default=[], choices=sorted(WORKLOADS), help="all if none"
    )
    parser.add_argument(
        "--only", action="append", default=[], help="faults with this in their name"
    )
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--keep", action="store_true", help="the history, though nothing is wrong")
    return parser.parse_args()


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
        kinds: which of them, with the nodes that each can hit; none at all for load alone.
        load: that runs meanwhile.
        seed: of the faults' order.
        keep: the history of a run in which nothing is wrong, too.
    """

    def __init__(
        self,
        cluster: Cluster,
        faults: Faults,
        kinds: dict[str, tuple[int, ...] | None],
        load: Load,
        seed: int,
        *,
        keep: bool = False,
    ) -> None:
        self._cluster = cluster
        self._seed = seed
        self._kinds = kinds
        self._load = load
        self._faults = faults
        self._keep = keep
        self._probes = itertools.count()
        self._begun = 0.0

    async def run(self, seconds: float) -> list[str]:
        """Load and faults for that long, then the judgement; the violations."""
        names = ", ".join(workload.name for workload in self._load.workloads)
        print(f"seed {self._seed}, {len(self._load.clients)} clients: {names}", flush=True)
        judgement = Judgement(self._cluster.folder / "state.json", self._load)
        await judgement.begin()
        await self._load.begin()
        self._begun = time.monotonic()
        load = asyncio.create_task(self._load.run())
        recoveries: list[Recovery] = []
        try:
            await self._break(load, seconds, recoveries)
        finally:
            await asyncio.to_thread(self._faults.heal)
            self._load.stopped = True
        await load
        count, took = len(self._load.recorder), time.monotonic() - self._begun
        print(f"{count} operations in {took:.0f} s ({count / took:.0f}/s); comparing …", flush=True)
        wrong = await judgement.judge() + not_back(recoveries) + self._faults.wrong
        await self._load.close()
        print("\n".join(table(recoveries) + self._faults.told()))
        if wrong or self._keep:
            print(f"kept for another look: {judgement.keep(KEPT / str(self._seed), wrong)}")
        return wrong

    async def _break(
        self, load: asyncio.Task[None], seconds: float, recoveries: list[Recovery]
    ) -> None:
        """Make faults until the time is over or the load has done all it had to."""
        until = self._begun + seconds
        for fault in plan(self._seed, self._kinds):
            quiet = quiet_s(recoveries, QUIET_MIN_S)
            await asyncio.wait({load}, timeout=min(quiet, max(0.0, until - time.monotonic())))
            if load.done() or time.monotonic() >= until:
                return
            recovery = await self._make(fault)
            if recovery is not None:
                recoveries.append(recovery)
                print(recovery.line(), flush=True)
        await asyncio.wait({load}, timeout=seconds)

    async def _make(self, fault: Fault) -> Recovery | None:
        """Make a fault, and wait until every node that it hit is back; None if it failed."""
        before = Counter(self._load.tally.answers)
        at = time.monotonic()
        try:
            lasted_s = await asyncio.to_thread(self._faults.make, fault)
        except (OSError, RuntimeError, SubprocessError) as error:
            print(f"COULD NOT BE MADE: {fault.kind}: {error}", flush=True)
            await asyncio.to_thread(self._faults.heal)
            return None
        gone = at + lasted_s
        nodes = self._cluster.nodes if fault.node is None else [self._cluster.nodes[fault.node]]
        back = await asyncio.gather(*(self._back(node, gone) for node in nodes))
        for node, time_s in zip(nodes, back, strict=True):
            if time_s is None:
                print(f"{node.name} is not back: {_status(node)}", flush=True)
        times = [time_s for time_s in back if time_s is not None]
        back_s = max(times) if len(times) == len(nodes) else None
        answers = self._load.tally.answers - before
        return Recovery(fault, at - self._begun, lasted_s, back_s, answers)

    async def _back(self, node: ClusterNode, since: float) -> float | None:
        """Seconds until it acknowledges a write and is ready; None where that takes too long."""
        while time.monotonic() - since < BACK_WAIT_S:
            if await self._acknowledges(node):
                return time.monotonic() - since
            await asyncio.sleep(PROBE_S)
        return None

    async def _acknowledges(self, node: ClusterNode) -> bool:
        """Whether it does a write, which stands in the history with the others, and is ready."""
        name = f"probe-{next(self._probes)}"
        recorder, chance = self._load.recorder, random.Random(f"{self._seed} {name}")
        client, link = Client(name, [node.port], recorder, chance, Tally()), Connection(node.port)
        mark = client.unique()
        told = await client.create("users", {"name": mark, "email": mark})
        ready = await link.request("GET", "/-/health/ready")
        await client.close()
        await link.close()
        return told.status == "done" and ready is not None and ready.status == 200


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
