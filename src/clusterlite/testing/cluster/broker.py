"""One Kafka broker process (KRaft: broker and controller) over one folder.

What always holds:

- It listens on loopback only, and keeps its port over a restart.
- It outlives neither `stop` nor the process that started it: a watcher waits on a pipe that
  closes when that process dies, however it dies.
- Nothing is signalled but the processes started here, by process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
HEAP = "512m"

STARTED = "Kafka Server started"
"""The broker's own word that it serves; its port listens a little earlier."""

LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}{doors}
advertised.listeners=PLAINTEXT://{host}:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
num.network.threads=2
num.io.threads=4
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""


class Door(NamedTuple):
    """A further listener, which clients reach through something else.

    Args:
        port: where the broker listens.
        advertised: the port that it names to who comes in there.
    """

    port: int
    advertised: int


class KafkaNotStarted(Exception):
    """A broker died or did not serve in time; the message ends with its last lines."""


class KafkaBroker:
    """One broker process over one folder.

    Args:
        folder: its settings, data and output (`broker.log`).
        node: its id, from 1.
        port: where clients connect.
        libs: the folder of jars.
    """

    def __init__(self, folder: Path, node: int, port: int, libs: Path) -> None:
        self.folder = folder
        self.node = node
        self.port = port
        self.address = f"{HOST}:{port}"
        self.output = folder / "broker.log"
        self._libs = libs
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._output_seen = 0

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self._process is None:
            raise RuntimeError(f"broker {self.node} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives; a paused one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def data(self) -> Path:
        """The folder of its data: all that it remembers."""
        return self.folder / "data"

    def format(
        self, cluster_id: str, voters: str, controller_port: int, doors: Sequence[Door] = ()
    ) -> None:
        """Write the settings and an empty data folder."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = PROPERTIES.format(
            node=self.node,
            voters=voters,
            host=HOST,
            port=self.port,
            controller_port=controller_port,
            doors="".join(f",DOOR{n}://{HOST}:{door.port}" for n, door in enumerate(doors)),
            advertised="".join(
                f",DOOR{n}://{HOST}:{door.advertised}" for n, door in enumerate(doors)
            ),
            protocols="".join(f",DOOR{n}:PLAINTEXT" for n in range(len(doors))),
            data=self.data,
        )
        self._settings.write_text(settings)
        tool = [
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            "-t",
            cluster_id,
            "-c",
            str(self._settings),
        ]
        done = subprocess.run(
            self._java("64m", *tool), capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise KafkaNotStarted(f"broker {self.node}: format failed: {done.stderr[-800:]}")

    def start(self, heap: str = HEAP) -> None:
        """Start the process; `wait_started` tells when it serves."""
        self._output_seen = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._java(heap, "kafka.Kafka", str(self._settings)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                # Ctrl-C on the terminal is the owner's to answer, not the broker's.
                start_new_session=True,
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -KILL "$1"', "watcher", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_started(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until it serves clients.

        Raises:
            KafkaNotStarted: it died, or the time ran out.
        """
        wait_until(lambda: not self.running or self._says_started(), timeout_s, self._last_output)
        if not self.running:
            raise KafkaNotStarted(f"broker {self.node} died at its start: {self._last_output()}")

    def restart(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Stop it in order where it runs, start it and wait until it serves."""
        self.stop()
        self.start()
        self.wait_started(timeout_s)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, and SIGKILL where that takes too long."""
        if self._process is not None and self.running:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL, as a crash of the process."""
        if self._process is not None and self.running:
            self._process.kill()
        self._reap()

    def pause(self) -> None:
        """SIGSTOP, and wait until it stands: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, heap: str, *arguments: str) -> list[str]:
        return ["java", f"-Xmx{heap}", *LOGGING, "-cp", f"{self._libs}/*", *arguments]

    def _says_started(self) -> bool:
        with self.output.open("rb") as output:
            output.seek(self._output_seen)
            return STARTED.encode() in output.read()

    def _last_output(self) -> str:
        with self.output.open("rb") as output:
            return output.read()[-1500:].decode(errors="replace")

    def _reap(self) -> None:
        # The watcher goes first: the broker's id may be given to another process once reaped.
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
        if self._process is not None:
            self._process.wait()
        self._watcher = self._process = None


def wait_until(
    condition: Callable[[], bool], timeout_s: float, detail: Callable[[], str] = str
) -> None:
    """Look at the condition every 20 ms until it holds.

    Raises:
        KafkaNotStarted: it did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise KafkaNotStarted(f"not within {timeout_s:.0f} s: {detail()}")
        time.sleep(0.02)
