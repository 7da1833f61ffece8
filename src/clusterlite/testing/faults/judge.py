"""The judgement on a load that ran on a cluster, once everything is healed.

It settles what is unknown, waits until the nodes stand at one position, reads the topic by a
consumer of its own and every row of every node over HTTP, and hands all of it to `history.check`
and to the workloads' own checks.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clusterlite.testing.faults.topic import read_topic
from clusterlite.testing.history import Operation, Record, Replica, check
from clusterlite.testing.history.files import save_log, save_replicas
from clusterlite.testing.load.connection import Connection
from clusterlite.testing.load.load import Load

SETTLE_WAIT_S: Final = 60.0
VERSIONS_TRIED: Final = 50
"""Rows of each table and node that are read one by one, for their versions."""

STEPS_MAX: Final = 300_000
"""Of the search in each group of rows; a group that it gives up is told, and is no violation."""

INTERNAL: Final = 500


class Judgement:
    """What is said of a load; `judge` says it.

    Args:
        state: the file in which the cluster says where its parts are.
        load: that ran on it.
    """

    def __init__(self, state: Path, load: Load) -> None:
        self._state = state
        self._load = load
        self._since = 0
        self.records: list[Record] = []
        self.replicas: list[Replica] = []

    def read(self) -> dict[str, Any]:
        """Where the cluster's parts are now."""
        found: dict[str, Any] = json.loads(self._state.read_text())
        return found

    async def begin(self) -> None:
        """Note where the log ends before the load; what stands there is nobody's of ours."""
        positions = [(await self.ask(n["port"], "/-/cluster"))["position"] for n in self._nodes()]
        self._since = max(positions) + 1

    async def judge(self) -> list[str]:
        """Settle, align, read everything, compare; the violations."""
        wrong: list[str] = []
        try:
            await self._all_ready()
            await self._load.settle()
            await self._align()
        except TimeoutError as error:  # what clients were told is compared all the same
            wrong.append(str(error))
        await asyncio.to_thread(self._read_topic)
        wrong += await asyncio.to_thread(self._check)
        if self._load.tally.answers[INTERNAL]:
            print(f"{self._load.tally.answers[INTERNAL]} answers were 500: see the nodes' logs")
        return wrong

    def keep(self, folder: Path, wrong: Sequence[str]) -> Path:
        """Write what was judged, and the nodes' logs, into a folder.

        `python -m clusterlite.testing.history` judges it again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._load.recorder.save(folder / "history.jsonl")
        save_log(folder / "log.jsonl", self.records)
        save_replicas(folder / "replicas.jsonl", self.replicas)
        for output in self._state.parent.glob("*.log"):
            shutil.copy(output, folder)
        (folder / "violations.txt").write_text("\n".join(wrong) + "\n")
        return folder

    def _nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.read()["nodes"]
        return nodes

    async def ask(self, port: int, path: str) -> Any:
        """A GET on a connection of its own; an empty object where there is no answer."""
        connection = Connection(port)
        answer = await connection.request("GET", path)
        await connection.close()
        return {} if answer is None else answer.json() or {}

    async def _all_ready(self) -> None:
        deadline = time.monotonic() + SETTLE_WAIT_S
        for node in self._nodes():
            while (await self.ask(node["port"], "/-/cluster")).get("state") != "ready":
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{node['name']} did not become ready again")
                await asyncio.sleep(0.05)

    async def _align(self) -> None:
        """Wait until every node has all rows and stands at one position, and read it there.

        Checkpoints go on being written, so a node may have moved while it was read: then again.
        """
        deadline = time.monotonic() + SETTLE_WAIT_S
        while True:
            before = await self._positions()
            if len(set(before.values())) == 1:
                self.replicas = [await self._replica(node) for node in self._nodes()]
                contents = await asyncio.to_thread(self._verify)
                if await self._positions() == before:
                    self.replicas += contents
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nodes do not meet: {before}")
            await asyncio.sleep(0.1)

    async def _positions(self) -> dict[str, int]:
        return {
            node["name"]: (await self.ask(node["port"], "/-/cluster")).get("position", -1)
            for node in self._nodes()
        }

    async def _replica(self, node: Mapping[str, Any]) -> Replica:
        status = await self.ask(node["port"], "/-/cluster")
        connection = Connection(node["port"])
        rows = {table: await _rows(connection, table) for table in status["tables"]}
        versions = {table: await _versions(connection, table, of) for table, of in rows.items()}
        await connection.close()
        hashes = {"running": status["hash"]}
        return Replica(node["name"], status["position"], hashes, rows, versions)

    def _verify(self) -> list[Replica]:
        """Each node's content hash, by the command that operators have."""
        found: list[Replica] = []
        for node in self._nodes():
            command = [sys.executable, "-m", "clusterlite", "verify", node["data"], "--json"]
            done = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            hashes = {name: done[name] for name in ("running", "content")}
            found.append(Replica(f"{node['name']} by verify", done["position"], hashes))
        return found

    def _read_topic(self) -> None:
        state = self.read()
        self.records += read_topic(state["kafka"], state["topic"])

    def _check(self) -> list[str]:
        begun = time.monotonic()
        history = self._load.recorder.history()
        found = check(history, self.records, self.replicas, since=self._since, steps_max=STEPS_MAX)
        wrong = [str(violation) for violation in found if violation.rule != "undecided"]
        for given_up in found:
            if given_up.rule == "undecided":
                print(f"the search gave up: {given_up.expected}")
        if self.replicas:
            wrong += self._load.judge(self.replicas[0].tables)
        self._print(history)
        print(f"checked in {time.monotonic() - begun:.1f} s", flush=True)
        return wrong

    def _print(self, history: list[Operation]) -> None:
        doubted = [call.operation for call in self._load.tally.doubted]
        for line in summary(history, doubted, self.records):
            print(line)
        print(f"topic: {len(self.records)} records")
        for replica in self.replicas:
            hashes = ", ".join(f"{name} {value[:16]}" for name, value in replica.hashes.items())
            print(f"{replica.name:<16} at {replica.position}, hashes: {hashes}")
        if self.replicas:
            counts = {table: len(rows) for table, rows in self.replicas[0].tables.items()}
            print("rows: " + ", ".join(f"{table} {n}" for table, n in sorted(counts.items())))


def summary(
    history: Sequence[Operation], doubted: Sequence[Operation], log: Sequence[Record]
) -> list[str]:
    """Operations by what became of them, and the fates of those that were unknown for a time.

    Args:
        history: of the whole run, settled.
        doubted: writes of it that were unknown for a time, or still are.
        log: all of it, where those without an id are looked for by what they would write.
    """
    writes = Counter(operation.status for operation in history if operation.writes)
    reads = Counter(operation.status for operation in history if not operation.writes)
    fates = Counter(operation.status for operation in doubted)
    left = [operation for operation in doubted if operation.status == "unknown"]
    found = len(landed(left, log))
    return [
        f"{len(history)} operations: {writes.total()} writes, {reads.total()} reads",
        f"writes: {writes['done']} acknowledged, {writes['rejected']} rejected by the log",
        f"        {writes['failed']} definitely failed, {writes['never']} closed as never",
        f"reads:  {reads['done']} answered, {reads['failed'] + reads['unknown']} not",
        f"unknown for a time: {len(doubted)}; since then {fates['done']} were acknowledged",
        f"        {fates['rejected']} rejected, {fates['never']} closed as never",
        f"        {len(left)} stay unknown: {found} are in the log, {len(left) - found} not",
    ]


def landed(unknown: Sequence[Operation], log: Sequence[Record]) -> list[Operation]:
    """Those of which a value of their own stands in the log; a DELETE has none."""
    values = {text for record in log for text in _texts(record.value)}
    return [operation for operation in unknown if values & set(_own(operation))]


def _own(operation: Operation) -> list[str]:
    data = operation.request.get("row") or operation.request.get("fields") or {}
    return [value for name, value in data.items() if isinstance(value, str) and name != "id"]


def _texts(value: bytes) -> list[str]:
    try:
        data = json.loads(value)["data"]
        return [text for text in data.values() if isinstance(text, str)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []  # what the run threw in


async def _rows(connection: Connection, table: str) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    path: str | None = f"/{table}?_limit=1000"
    while path:
        answer = await connection.request("GET", path)
        if answer is None or answer.status != 200:
            raise RuntimeError(f"a list of {table} was answered {answer}")
        for row in answer.json():
            if row["id"] in rows:
                raise RuntimeError(f"{table}/{row['id']} is listed twice")
            rows[row["id"]] = row
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if link else None
    return rows


async def _versions(connection: Connection, table: str, rows: Mapping[str, Any]) -> dict[str, int]:
    versions: dict[str, int] = {}
    for key in random.Random(1).sample(sorted(rows), min(VERSIONS_TRIED, len(rows))):
        answer = await connection.request("GET", f"/{table}/{key}")
        if answer is not None and answer.status == 200:
            versions[key] = int(answer.headers["etag"].strip('"'))
    return versions
