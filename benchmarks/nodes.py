"""The servers under load: nodes, the bare application, Kafka."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.load import ROWS, key, row
from benchmarks.raw import RoundTrip
from clusterlite.testing.cluster.kafka import KafkaCluster, KafkaMissing, free_ports
from clusterlite.testing.cluster.nodes import ClusterNode
from tools.setup import ROOT

READY_WAIT_S: Final = 60.0
BROKER_WARM_UP_S: Final = 20.0
"""Until then a new broker's virtual machine compiles what it runs, on the same cores."""
_SEED_ROWS: Final = 1_000


class Missing(Exception):
    """A part that a measurement needs is not on this machine; says which."""


@dataclass
class Place:
    """Where a run of the benchmarks happens.

    Args:
        folder: of everything it writes.
        seconds: of one measurement under load.
        large: whether the long measurements are as long as the targets say.
    """

    folder: Path
    seconds: int
    large: bool
    _stack: ExitStack = field(default_factory=ExitStack)
    _kafka: KafkaCluster | None = None

    def kafka(self, topic: str) -> str:
        """The URL of a log on Kafka, which is started when it is first needed.

        Raises:
            Missing: it cannot be.
        """
        if self._kafka is None:
            try:
                self._kafka = self._stack.enter_context(KafkaCluster(self.folder / "kafka"))
            except KafkaMissing as error:
                raise Missing(f"no Kafka here: {error}") from error
            with closing(RoundTrip(self.brokers, "warm-up")) as trip:
                trip.p50_ms(BROKER_WARM_UP_S)
        return f"kafka://{self._kafka.address}/{topic}"

    @property
    def brokers(self) -> str:
        """The address of Kafka, once `kafka` was asked for."""
        return "" if self._kafka is None else self._kafka.address

    def close(self) -> None:
        """End Kafka where it runs."""
        self._stack.close()


def call(port: int, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """One request with JSON both ways.

    Raises:
        RuntimeError: the answer is not of the 200s.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_WAIT_S)
    headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status // 100 != 2:
        raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
    return json.loads(text) if text else None


def wait(ready: Callable[[], bool], what: str, wait_s: float = READY_WAIT_S) -> None:
    """Return once it is so.

    Raises:
        TimeoutError: it was not in time.
    """
    deadline = time.monotonic() + wait_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not ready after {wait_s:g} s")
        time.sleep(0.02)


@contextmanager
def server(command: list[str], output: Path) -> Iterator[None]:
    """A process from the clone's root, ended in order."""
    with output.open("ab") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(READY_WAIT_S)


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered well."""
    try:
        call(port, "GET", path)
    except (OSError, RuntimeError):
        return False
    return True


@contextmanager
def bare(place: Place, name: str) -> Iterator[int]:
    """The bare application with the seeded rows; its port."""
    (port,) = free_ports(1)
    folder = place.folder / f"{name}-bare"
    command = [sys.executable, "-m", "benchmarks.bare", str(folder), str(port)]
    with server(command, place.folder / f"{name}-bare.log"):
        wait(lambda: answers(port, f"/users/{key(0)}"), "the bare application")
        yield port


@contextmanager
def serve(place: Place, name: str, log: str = "") -> Iterator[ClusterNode]:
    """A node of the sample's users, on an embedded log where none is given."""
    (port,) = free_ports(1)
    node = ClusterNode(name, place.folder, port, log or f"file:{place.folder / name / 'log'}")
    node.start()
    try:
        wait(node.ready, f"{name} (its log is {node.output})")
        yield node
    finally:
        node.stop()


def seed(port: int) -> None:
    """Create the rows that are read."""
    for first in range(0, ROWS, _SEED_ROWS):
        call(port, "POST", "/users", [row(first + number) for number in range(_SEED_ROWS)])


def until_equal(ports: list[int]) -> float:
    """Seconds until nodes show one position, with one running hash.

    Raises:
        RuntimeError: their hashes differ at one position.
    """
    begun = time.perf_counter()
    found: list[tuple[int, str]] = []

    def equal() -> bool:
        found[:] = [
            (status["position"], status["hash"])
            for status in (call(port, "GET", "/-/cluster") for port in ports)
        ]
        return len({position for position, _ in found}) == 1

    wait(equal, "equality of the nodes")
    if len(set(found)) != 1:
        raise RuntimeError(f"the nodes differ at one position: {found}")
    return time.perf_counter() - begun
