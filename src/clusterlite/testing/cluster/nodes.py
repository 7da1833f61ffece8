"""A cluster on this machine: a real Kafka, three nodes and a real Nginx, until Ctrl-C.

    python -m clusterlite.testing.cluster [--folder F] [--port 8082] [--brokers 1]

Everything of it stands in one folder, its logs too; `state.json` there tells the checker where
things are. A node whose whole tree died is started again after a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from clusterlite.testing.cluster.broker import Door
from clusterlite.testing.cluster.kafka import KafkaCluster, free_ports
from clusterlite.testing.cluster.links import Links
from clusterlite.testing.cluster.nginx import Nginx
from clusterlite.testing.cluster.place import CACHE

FOLDER = CACHE / "cluster"
TOPIC = "db_events"
READY_WAIT_S = 60.0
RESTART_S = 1.0


class ClusterNode:
    """One `clusterlite serve`.

    Args:
        name: of the node, and of its data folder.
        folder: of the cluster.
        port: to listen on.
        log: its `--log`.
        entities: its `--entities`, the sample where there are none.
    """

    def __init__(
        self, name: str, folder: Path, port: int, log: str, entities: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.port = port
        self.data = folder / name
        self.output = folder / f"{name}.log"
        self._log = log
        self._entities = tuple(entities)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        """Of its processes, beside this one's own."""
        self.held = False
        """Nobody starts it again, for as long as this is set."""

    def beside(self, name: str, folder: Path, port: int) -> ClusterNode:
        """Another node on the same log, of which the cluster knows nothing.

        Args:
            name: of the node, and of its data folder.
            folder: where that stands.
            port: to listen on.
        """
        return ClusterNode(name, folder, port, self._log, self._entities)

    def start(self) -> None:
        """Start its tree."""
        command = [
            *(sys.executable, "-m", "clusterlite", "serve", "--port", str(self.port)),
            *("--data", str(self.data), "--log", self._log, "--node-id", self.name),
            *(argument for name in self._entities for argument in ("--entities", name)),
        ]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | self.environment,
            )

    def ready(self) -> bool:
        """Whether it says that it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/-/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End its tree in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None


class Cluster:
    """Kafka, three nodes and Nginx.

    Args:
        folder: of everything; made where it does not exist.
        port: of Nginx; 0 takes a free one.
        brokers: of Kafka, 1 or 3.
        nodes: how many.
        entities: that they serve, the sample where there are none.
        links: of each node, through which it then reaches the brokers; each node reaches them
            directly where there are none. The caller opens and closes them.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        brokers: int = 1,
        nodes: int = 3,
        entities: Sequence[str] = (),
        links: Sequence[Links] = (),
    ) -> None:
        self.folder = folder
        self.links = links
        doors, behind = _doors(links, brokers)
        self.kafka = KafkaCluster(folder / "kafka", brokers=brokers, doors=doors)
        nginx_port, *node_ports = free_ports(nodes + 1)
        self.port = port or nginx_port
        addresses = behind or [self.kafka.address] * nodes
        self.nodes = [
            ClusterNode(f"node-{number}", folder, node_port, f"kafka://{address}/{TOPIC}", entities)
            for number, (node_port, address) in enumerate(
                zip(node_ports, addresses, strict=True), 1
            )
        ]
        self.nginx = Nginx(folder / "nginx", self.port, node_ports)
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything, and return once every node is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kafka.start()
        try:
            for node in self.nodes:
                node.start()
            self.nginx.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        self._keeper.start()
        self._write_state()

    def wait_ready(self) -> None:
        """Return once every node is ready.

        Raises:
            TimeoutError: one is not; names its log.
        """
        deadline = time.monotonic() + READY_WAIT_S
        for node in self.nodes:
            while not node.ready():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{node.name} is not ready; its log is {node.output}")
                time.sleep(0.1)

    def stop(self) -> None:
        """End everything: Nginx, nodes, Kafka."""
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join()
        (self.folder / "state.json").unlink(missing_ok=True)
        self.nginx.stop()
        for node in self.nodes:
            node.stop()
        self.kafka.stop()

    def _keep(self) -> None:
        """Start again a tree that died whole."""
        while not self._ending.wait(0.1):
            for node in self.nodes:
                if node.held or node.process is None:
                    continue
                if node.process.poll() is not None:
                    print(f"{node.name} died; it is started again", flush=True)
                    if self._ending.wait(RESTART_S):
                        return
                    node.start()
                    self._write_state()

    def _write_state(self) -> None:
        state = {
            "url": f"http://127.0.0.1:{self.port}",
            "kafka": self.kafka.address,
            "topic": TOPIC,
            "nodes": [
                {
                    "name": node.name,
                    "port": node.port,
                    "pid": node.process.pid if node.process else None,
                    "data": str(node.data),
                }
                for node in self.nodes
            ],
        }
        fresh = self.folder / "state.json.new"
        fresh.write_text(json.dumps(state, indent=2))
        fresh.replace(self.folder / "state.json")


def _doors(links: Sequence[Links], brokers: int) -> tuple[list[list[Door]], list[str]]:
    """Of each broker a door for each node; and of each node its brokers' address behind them."""
    doors: list[list[Door]] = [[] for _ in range(brokers)]
    addresses: list[str] = []
    for link in links:
        ports = free_ports(brokers)
        advertised = [link.door(port) for port in ports]
        for door, port, shown in zip(doors, ports, advertised, strict=True):
            door.append(Door(port, shown))
        addresses.append(",".join(f"127.0.0.1:{port}" for port in advertised))
    return doors, addresses


def main() -> None:
    """Run a cluster until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--port", type=int, default=8082)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--entities", action="append", default=[], help="as of serve")
    arguments = parser.parse_args()
    _refuse_taken(arguments.port)
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    print("starting Kafka, three nodes and Nginx …", flush=True)
    chosen = arguments.folder, arguments.port, arguments.brokers
    with Cluster(*chosen, entities=arguments.entities) as cluster:
        print(f"cluster  http://127.0.0.1:{cluster.port}/-/ui/  (Nginx, round robin)")
        for node in cluster.nodes:
            assert node.process is not None
            page = f"http://127.0.0.1:{node.port}/-/ui/"
            print(f"{node.name}   {page}  pid {node.process.pid}, log {node.output}")
        print(f"Kafka    --log kafka://{cluster.kafka.address}/{TOPIC}")
        print(f"folder   {cluster.folder}")
        print("Ctrl-C stops all of it; `make cluster-check` tries it.", flush=True)
        ended.wait()
        print("stopping …", flush=True)
    print(f"stopped; topic and replicas stay in {arguments.folder}, and the next run goes on")


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"port {port} is taken ({os.strerror(error.errno or 0)}); use --port")
