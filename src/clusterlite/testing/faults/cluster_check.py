"""`make cluster-check`: load through Nginx while nodes are killed, then compare with the topic.

    … faults.cluster_check [--operations 10000] [--clients 16] [--seed N]

Runs against the cluster that `make cluster` started, with the workload `mixed`, or starts one in a
scratch folder, with all workloads. `judge` compares; it shares no code with the product.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from clusterlite.testing.cluster.nodes import FOLDER, Cluster
from clusterlite.testing.faults.judge import Judgement
from clusterlite.testing.faults.run import ENTITIES, SHOWN_MAX
from clusterlite.testing.load.load import Load
from clusterlite.testing.load.workloads import WORKLOADS

BACK_WAIT_S: Final = 60.0
STEP_OPERATIONS: Final = 2
"""Of a step on average, about."""


def main() -> None:
    """Check, print what was found, and exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="make cluster-check", description=__doc__)
    parser.add_argument("--operations", type=int, default=10_000, help="about so many")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    state = FOLDER / "state.json"
    if state.exists():
        wrong = _check(state, ["mixed"], arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            print("no cluster runs here: starting one", flush=True)
            with Cluster(Path(folder), entities=ENTITIES) as cluster:
                wrong = _check(cluster.folder / "state.json", list(WORKLOADS), arguments)
    for line in wrong[:SHOWN_MAX]:
        print(f"VIOLATION {line}")
    print(f"{len(wrong)} violations")
    sys.exit(1 if wrong else 0)


def _check(state: Path, names: list[str], arguments: argparse.Namespace) -> list[str]:
    """Load, kill, settle, compare; the violations."""
    port = int(json.loads(state.read_text())["url"].rpartition(":")[2])
    steps = arguments.operations // (1 if names == ["mixed"] else STEP_OPERATIONS)
    workloads = [WORKLOADS[name]() for name in names]
    load = Load([port], workloads, arguments.clients, arguments.seed, steps)
    return asyncio.run(_Kills(state, load).run())


class _Kills:
    """A load under which a node dies twice, and its judgement."""

    def __init__(self, state: Path, load: Load) -> None:
        self._judgement = Judgement(state, load)
        self._load = load
        self._in_flight: list[int] = []

    async def run(self) -> list[str]:
        """Load, kill, judge; the violations."""
        await self._judgement.begin()
        await self._load.begin()
        began = time.monotonic()
        kills = asyncio.create_task(self._kills())
        await self._load.run()
        await kills
        count, took = len(self._load.recorder), time.monotonic() - began
        print(f"{count} operations in {took:.1f} s ({count / took:.0f}/s)")
        wrong = await self._judgement.judge()
        await self._load.close()
        if not any(self._in_flight):
            wrong.append("no operation was in flight at a kill: the load was too light")
        return wrong

    async def _kills(self) -> None:
        """End one node process by SIGKILL, then a whole tree, at a third and at two thirds."""
        await self._progress(1 / 3)
        second = self._judgement.read()["nodes"][1]
        status = await self._judgement.ask(second["port"], "/-/cluster")
        await self._kill("node process", second, status["pid"], status["pid"])
        await self._progress(2 / 3)
        third = self._judgement.read()["nodes"][2]
        status = await self._judgement.ask(third["port"], "/-/cluster")
        await self._kill("whole tree", third, third["pid"], status["pid"])

    async def _progress(self, part: float) -> None:
        while self._load.taken < self._load.steps * part:
            await asyncio.sleep(0.01)

    async def _kill(self, what: str, node: dict[str, Any], pid: int, old: int) -> None:
        """Kill `pid`, and wait until another node process than `old` is ready."""
        self._in_flight.append(self._load.in_flight)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        print(f"killed the {what} of {node['name']}, {self._load.in_flight} steps in flight")
        while time.monotonic() - killed < BACK_WAIT_S:
            status = await self._judgement.ask(node["port"], "/-/cluster")
            if status.get("state") == "ready" and status.get("pid") != old:
                break
            await asyncio.sleep(0.02)
        print(f"{node['name']} is ready again after {time.monotonic() - killed:.2f} s", flush=True)


if __name__ == "__main__":
    main()
