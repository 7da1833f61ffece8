"""`make cluster-check`: load through Nginx while nodes are killed, then compare with the topic.

    … faults.cluster_check [--operations 10000] [--clients 16] [--seed N]

Runs against the cluster that `make cluster` started, or starts one in a scratch folder. The
checker shares no code with the product: it reads the topic by a consumer of its own, replays it
through a dict, and asks the nodes over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from clusterlite.testing.cluster.nodes import FOLDER, Cluster
from clusterlite.testing.faults.check_load import Connection, Load, Operation
from clusterlite.testing.faults.check_model import Model, check_contents, check_equal, check_history

SETTLE_WAIT_S = 60.0
SHOWN_MAX = 20
VERSIONS_TRIED = 50


def main() -> None:
    """Check, print what was found, and exit with 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="make cluster-check", description=__doc__)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    # Another one each time: a topic that is checked twice holds the values of both.
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    state = FOLDER / "state.json"
    if state.exists():
        wrong = check(state, arguments.operations, arguments.clients, arguments.seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            print("no cluster runs here: starting one", flush=True)
            with Cluster(Path(folder)) as cluster:
                state = cluster.folder / "state.json"
                wrong = check(state, arguments.operations, arguments.clients, arguments.seed)
    for line in wrong[:SHOWN_MAX]:
        print(f"VIOLATION {line}")
    print(f"{len(wrong)} violations")
    sys.exit(1 if wrong else 0)


def check(state: Path, operations: int, clients: int, seed: int) -> list[str]:
    """Load, kill, settle, compare; the violations."""
    port = int(read_state(state)["url"].rpartition(":")[2])
    return asyncio.run(_Kills(state, Load(port, clients, operations, seed)).run())


def read_state(state: Path) -> dict[str, Any]:
    """Where the parts of a cluster are; see `clusterlite.testing.cluster.nodes`."""
    found: dict[str, Any] = json.loads(state.read_text())
    return found


class Check:
    """What a load left behind in a cluster, against the topic.

    Args:
        state: where the cluster says what it is made of.
        load: that ran on it.
    """

    def __init__(self, state: Path, load: Load) -> None:
        self._state = state
        self._load = load
        self.model = Model()
        """Fed with the whole topic by `judge`."""

    def _read(self) -> dict[str, Any]:
        return read_state(self._state)

    async def judge(self) -> list[str]:
        """Settle what is unknown, wait until the nodes meet, compare; the violations."""
        history = self._load.history
        await self._all_ready()
        unknown = [operation for operation in history if operation.fate == "unknown"]
        await self._settle(unknown)
        positions, hashes = await self._align()
        self._replay()
        wrong = check_history(history, unknown, self.model)
        wrong += check_equal("running hashes", hashes) + check_equal("positions", positions)
        wrong += check_equal("content hashes", self._verify())
        for node in self._read()["nodes"]:
            wrong += await self._check_node(node, self.model)
        self._print(history, self.model, unknown, hashes)
        return wrong

    async def _ask(self, port: int, path: str) -> dict[str, Any]:
        connection = Connection(port)
        answer = await connection.request("GET", path)
        await connection.close()
        found: dict[str, Any] = {} if answer is None or answer.status == 0 else answer.json()
        return found

    async def _all_ready(self) -> None:
        deadline = time.monotonic() + SETTLE_WAIT_S
        for node in self._read()["nodes"]:
            while (await self._ask(node["port"], "/-/cluster")).get("state") != "ready":
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{node['name']} did not become ready again")
                await asyncio.sleep(0.05)

    async def _settle(self, unknown: list[Operation]) -> None:
        """Make each unknown outcome definite, by its event's id, where the client has one."""
        connection = Connection(self._load.port)
        for operation in unknown:
            if operation.event is None:
                continue
            answer = await connection.request("GET", f"/-/events/{operation.event}")
            found = answer.json() if answer is not None else {}
            if found.get("status") == "unseen":
                answer = await connection.request("POST", f"/-/events/{operation.event}/settle")
                found = answer.json() if answer is not None else {}
            operation.fate = f"unknown, then {found.get('status')}"
        await connection.close()

    async def _align(self) -> tuple[dict[str, int], dict[str, str]]:
        """Write once more, and wait until every node stands there."""
        connection = Connection(self._load.port)
        body = {"name": "the last one", "email": "x"}
        answer = await connection.request("POST", "/users", body)
        await connection.close()
        if answer is None or answer.status != 201:
            raise RuntimeError(f"the last write was answered {answer}")
        goal = int(answer.headers["clusterlite-token"].rpartition(":")[2])
        deadline = time.monotonic() + SETTLE_WAIT_S
        while True:
            found = {
                node["name"]: await self._ask(node["port"], "/-/cluster")
                for node in self._read()["nodes"]
            }
            positions = {name: status["position"] for name, status in found.items()}
            if min(positions.values()) >= goal and len(set(positions.values())) == 1:
                return positions, {name: status["hash"] for name, status in found.items()}
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nodes do not meet: {positions}")
            await asyncio.sleep(0.05)

    def _replay(self) -> None:
        """Read the whole topic by a consumer of our own, through the model."""
        state, model = self._read(), self.model
        consumer = Consumer(
            {
                "bootstrap.servers": state["kafka"],
                "group.id": "cluster-check",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
        partition = TopicPartition(state["topic"], 0, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=10)
        consumer.assign([partition])
        while model.end < end:
            for message in consumer.consume(1000, 1.0):
                if message.error() is not None:
                    raise RuntimeError(str(message.error()))
                model.feed(message.offset() or 0, message.value() or b"")
        consumer.close()

    def _verify(self) -> dict[str, str]:
        """Each node's content hash, by the command that operators have."""
        found: dict[str, str] = {}
        for node in self._read()["nodes"]:
            command = [sys.executable, "-m", "clusterlite", "verify", node["data"], "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[node["name"]] = json.loads(done.stdout)["content"]
        return found

    async def _check_node(self, node: dict[str, Any], model: Model) -> list[str]:
        connection = Connection(node["port"])
        rows: list[dict[str, Any]] = []
        path: str | None = "/users?_limit=1000"
        while path:
            answer = await connection.request("GET", path)
            if answer is None or answer.status != 200:
                return [f"{node['name']}: the list was answered {answer}"]
            rows += answer.json()
            link = answer.headers.get("link", "")
            path = link[1 : link.index(">")] if link else None
        tried = random.Random(1).sample(sorted(model.rows), min(VERSIONS_TRIED, len(model.rows)))
        versions: dict[str, int] = {}
        for key in tried:
            answer = await connection.request("GET", f"/users/{key}")
            if answer is not None:
                versions[key] = int(answer.headers.get("etag", '"-1"').strip('"'))
        await connection.close()
        return check_contents(node["name"], rows, versions, model)

    def _print(
        self,
        history: list[Operation],
        model: Model,
        unknown: list[Operation],
        hashes: dict[str, str],
    ) -> None:
        for fate, count in sorted(Counter(operation.fate for operation in history).items()):
            print(f"  {fate:<24} {count}")
        retried = sum(operation.attempts > 1 for operation in history)
        print(f"  sent again with their key {retried}, unknown at first {len(unknown)}")
        print(
            f"topic: {model.end} positions, {len(model.outcomes)} event ids, "
            f"{model.repeated} records repeated without effect; {len(model.rows)} rows"
        )
        print("state hash " + ", ".join(f"{name} {value[:16]}" for name, value in hashes.items()))


class _Kills(Check):
    """The check of a load under which a node dies twice."""

    def __init__(self, state: Path, load: Load) -> None:
        super().__init__(state, load)
        self._in_flight: list[int] = []

    async def run(self) -> list[str]:
        """Load, kill, judge; the violations."""
        began = time.monotonic()
        kills = asyncio.create_task(self._kills())
        await self._load.run()
        await kills
        count, took = len(self._load.history), time.monotonic() - began
        print(f"{count} operations in {took:.1f} s ({count / took:.0f}/s)")
        wrong = await self.judge()
        if not any(self._in_flight):
            wrong.append("no operation was in flight at a kill: the load was too light")
        return wrong

    async def _kills(self) -> None:
        """End one node process by SIGKILL, then of a whole tree, at a third and two thirds."""
        await self._progress(1 / 3)
        second = self._read()["nodes"][1]
        status = await self._ask(second["port"], "/-/cluster")
        await self._kill("node process", second, status["pid"], status["pid"])
        await self._progress(2 / 3)
        third = self._read()["nodes"][2]
        status = await self._ask(third["port"], "/-/cluster")
        await self._kill("whole tree", third, third["pid"], status["pid"])

    async def _progress(self, part: float) -> None:
        while len(self._load.history) < self._load.operations * part:
            await asyncio.sleep(0.01)

    async def _kill(self, what: str, node: dict[str, Any], pid: int, old: int) -> None:
        """Kill `pid`, and wait until another node process than `old` is ready."""
        self._in_flight.append(self._load.in_flight)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        print(f"killed the {what} of {node['name']}, {self._load.in_flight} writes in flight")
        while time.monotonic() - killed < SETTLE_WAIT_S:
            status = await self._ask(node["port"], "/-/cluster")
            if status.get("state") == "ready" and status.get("pid") != old:
                break
            await asyncio.sleep(0.02)
        print(f"{node['name']} is ready again after {time.monotonic() - killed:.2f} s", flush=True)


if __name__ == "__main__":
    main()
