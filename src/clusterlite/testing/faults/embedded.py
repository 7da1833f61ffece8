"""Faults of an embedded log, on a node of its own beside the cluster.

The node is made for the fault, acknowledges writes, and must have every one of them at the end.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from clusterlite.testing.cluster.kafka import free_ports
from clusterlite.testing.cluster.nodes import ClusterNode
from clusterlite.testing.faults.calls import CALLS_MAX, injected
from clusterlite.testing.faults.operator import (
    Kind,
    NotAsExpected,
    Operator,
    command_of,
    reason_of,
    stop_tree,
)

ROWS: Final = 30
WAIT_S: Final = 60.0
_PAGE: Final = 4096


class Embedded:
    """Faults of embedded logs.

    Args:
        operator: counts what was seen.
        chance: picks where it strikes.
        folder: for the nodes.
        traced: whether strace is here.
    """

    def __init__(
        self, operator: Operator, chance: random.Random, folder: Path, *, traced: bool
    ) -> None:
        self._operator = operator
        self._chance = chance
        self._folder = folder
        self._traced = traced

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        found = {
            "embedded log damaged": Kind(lambda _: self._damage()),
            "embedded log cloned": Kind(lambda _: self._clone()),
        }
        if self._traced:
            found["embedded log killed at a sync"] = Kind(lambda _: self._kill())
        return found

    def _damage(self) -> None:
        with self._node() as node:
            written = [_write(node) for _ in range(ROWS)]
            stop_tree(node)
            copy = self._folder / "lone.copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(node.data, copy)
            with (node.data / "log").open("r+b") as log:
                log.write(self._chance.randbytes(_PAGE))
            (node.data / "log-wal").unlink(missing_ok=True)
            node.start()
            self._wait_reason(node, "log_corrupt")
            stop_tree(node)
            shutil.rmtree(node.data)
            shutil.copytree(copy, node.data)
            done = self._operator.clusterlite("adopt", str(node.data / "log"), "--moved")
            if done.returncode != 0:
                raise NotAsExpected(f"adopt refused: {done.stderr.strip()}")
            self._operator.seen["cure log put back, adopted"] += 1
            self._see_rows(node, written)

    def _clone(self) -> None:
        with self._node() as node:
            written = [_write(node) for _ in range(ROWS)]
            with self._node("lone-clone", start=False) as clone:
                stop_tree(node)
                shutil.copytree(node.data, clone.data)
                node.start()
                self._operator.wait_ready(node)
                clone.start()
                self._wait_reason(clone, "log_moved")
            _write(node)
            self._see_rows(node, written)

    def _kill(self) -> None:
        """It writes until it dies; what it acknowledged until then is there afterwards."""
        with self._node() as node:
            pid = int(self._operator.status_of(node)["pid"])
            when = self._chance.randint(1, CALLS_MAX)
            written: list[str] = []
            with injected(pid, "fdatasync", f"signal=SIGKILL:when={when}"):
                deadline = time.monotonic() + WAIT_S
                while command_of(pid):
                    if time.monotonic() > deadline:
                        raise NotAsExpected(f"{node.name} made no {when} syncs")
                    # What was under way may be unknown; the next one may come too early.
                    with contextlib.suppress(OSError, http.client.HTTPException, NotAsExpected):
                        written.append(_write(node))
            self._operator.seen["embedded log: killed at a sync"] += 1
            self._see_rows(node, written)

    @contextmanager
    def _node(self, name: str = "lone", *, start: bool = True) -> Iterator[ClusterNode]:
        """A node with a log of its own; ready, unless it is not to be started."""
        data = self._folder / name
        shutil.rmtree(data, ignore_errors=True)
        node = ClusterNode(name, self._folder, free_ports(1)[0], f"file:{data / 'log'}")
        try:
            if start:
                node.start()
                self._operator.wait_ready(node)
            yield node
        finally:
            stop_tree(node)
            shutil.rmtree(data, ignore_errors=True)

    def _wait_reason(self, node: ClusterNode, reason: str) -> None:
        """Halted or refused, for that reason."""
        deadline = time.monotonic() + WAIT_S
        assert node.process is not None
        while reason_of(self._operator.status_of(node)) != reason:
            if node.process.poll() is not None:
                if reason.encode() not in node.output.read_bytes():
                    raise NotAsExpected(f"{node.name} ended without the reason {reason}")
                break
            if time.monotonic() > deadline:
                raise NotAsExpected(f"{node.name} does not say {reason}")
            time.sleep(0.05)
        self._operator.seen[f"halt {reason}"] += 1

    def _see_rows(self, node: ClusterNode, written: list[str]) -> None:
        """Whether it has what it acknowledged; started where it does not run."""
        if node.process is None or node.process.poll() is not None:
            node.start()
        self._operator.wait_ready(node)
        lost = [path for path in written if _ask(node, "GET", path)[0] != 200]
        if lost:
            raise NotAsExpected(
                f"{node.name} lost {len(lost)} of {len(written)} writes: {lost[:3]}"
            )


def _write(node: ClusterNode) -> str:
    """Create a row; its path.

    Raises:
        NotAsExpected: it was not acknowledged.
    """
    status, location = _ask(node, "POST", "/users", {"name": "one", "email": "x"})
    if status != 201:
        raise NotAsExpected(f"{node.name} answered {status}")
    return location


def _ask(
    node: ClusterNode, method: str, path: str, body: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=WAIT_S)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", "")
    finally:
        connection.close()
