"""A real Kafka on loopback, for tests and for `make cluster`.

    python -m clusterlite.testing.cluster.kafka jars    fetch the jars once (Maven, Java 17)
    … kafka run --brokers 3 --folder F                  run brokers until Ctrl-C

    with KafkaCluster(Path("folder"), brokers=1) as kafka:
        kafka.address                                 "127.0.0.1:21734"
        kafka.brokers[0].kill()                       SIGKILL; also stop, start, pause, resume

Parts: `kafka_jars` fetches the jars, `kafka_broker` is one process. A broker never outlives the
process that started it, however that dies.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import signal
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from clusterlite.testing.cluster.broker import (
    HEAP,
    HOST,
    START_TIMEOUT_S,
    Door,
    KafkaBroker,
    KafkaNotStarted,
)
from clusterlite.testing.cluster.jars import KafkaMissing, fetch_jars

__all__ = ["KafkaBroker", "KafkaCluster", "KafkaMissing", "KafkaNotStarted", "fetch_jars"]

PORTS = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections: still free after a restart."""


class KafkaCluster:
    """One or three brokers, each a controller too (KRaft).

    Args:
        folder: gets a folder for each broker; made where it is absent. One that held such a
            cluster before starts with its data, at its old ports.
        brokers: how many, 1 or 3.
        heap: the most memory of each broker's heap, as Java writes it.
        ports: of the brokers, free ones where none are given.
        doors: further listeners of each broker in turn; of a new cluster only.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        heap: str = HEAP,
        ports: Sequence[int] = (),
        doors: Sequence[Sequence[Door]] = (),
    ) -> None:
        self.folder = folder
        self.heap = heap
        self._doors = doors or [()] * brokers
        libs = fetch_jars()
        shape = folder / "cluster.json"
        self._new = not shape.exists()
        if self._new:
            free = free_ports(2 * brokers)
            folder.mkdir(parents=True, exist_ok=True)
            self._ports = {"brokers": list(ports) or free[:brokers], "controllers": free[brokers:]}
        else:
            self._ports = json.loads(shape.read_bytes())
        self.brokers = tuple(
            KafkaBroker(folder / f"broker-{node}", node, port, libs)
            for node, port in enumerate(self._ports["brokers"], start=1)
        )
        self.address = ",".join(broker.address for broker in self.brokers)

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Format the folders of a new cluster, start all brokers, wait until all serve."""
        if self._new:
            self._format()
        try:
            for broker in self.brokers:
                broker.start(self.heap)
            for broker in self.brokers:
                broker.wait_started(timeout_s)
        except BaseException:
            self.kill()
            raise

    def wipe(self) -> None:
        """Give stopped brokers empty folders, as one new cluster; their ports stay."""
        self._format()

    def _format(self) -> None:
        # One that begins with a hyphen would be taken for an option.
        cluster_id = "c" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        pairs = list(zip(self.brokers, self._ports["controllers"], strict=True))
        voters = ",".join(f"{broker.node}@{HOST}:{port}" for broker, port in pairs)
        for (broker, port), doors in zip(pairs, self._doors, strict=True):
            broker.format(cluster_id, voters, port, doors)
        # Last, so that a folder that was formatted in part is formatted again.
        (self.folder / "cluster.json").write_text(json.dumps(self._ports))
        self._new = False

    def stop(self) -> None:
        """Stop all brokers in order."""
        # Together: a broker that leaves in order needs the others' controllers.
        for broker in self.brokers:
            if broker.running:
                broker.resume()
                os.kill(broker.pid, signal.SIGTERM)
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """SIGKILL all brokers: for folders that nobody needs again, at once."""
        for broker in self.brokers:
            broker.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def free_ports(count: int) -> list[int]:
    """Different ports of loopback on which nobody listens now."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise KafkaNotStarted(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM ends `run` as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(folder: Path, brokers: int, ports: Sequence[int]) -> None:
    """Run brokers in the foreground until SIGINT or SIGTERM."""
    cluster = KafkaCluster(folder, brokers, ports=ports)
    with _signals_as_interrupt(), cluster:
        print(f"Kafka listens on {cluster.address}; its logs: {folder}/broker-*/broker.log")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping Kafka")
            cluster.stop()


def main() -> None:
    """The command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description="A real Kafka on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("jars", help="fetch Kafka's jars into .cache/kafka")
    runner = commands.add_parser("run", help="run brokers until Ctrl-C")
    runner.add_argument("--folder", type=Path, required=True, help="an empty or absent folder")
    runner.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    runner.add_argument("--port", type=int, action="append", default=[], help="one per broker")
    arguments = parser.parse_args()
    if arguments.command == "jars":
        print(fetch_jars())
    else:
        run(arguments.folder, arguments.brokers, arguments.port)


if __name__ == "__main__":
    main()
