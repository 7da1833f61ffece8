"""A served node that lacks something: somebody who reads its output, descriptors, a broker."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from clusterlite import Node
from clusterlite.examples.users import User
from tests.http_node import make_node, user
from tests.processes import WAIT_S, Serve, kill, wait_until

PIPE_BYTES = 4096
LOOK_S = 1.0


class Unread(Serve):
    """A node whose output goes into a pipe that nobody reads."""

    reading = -1

    def start(self, *, ready: bool = True) -> Unread:
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            self.process = subprocess.Popen(
                self._command, stdout=writing, stderr=writing, cwd=self._cwd
            )
        finally:
            os.close(writing)
        if ready:
            self.wait_ready()
        return self

    def said(self) -> str:
        return "nobody reads it"

    def stop(self) -> int:
        code = super().stop()
        if self.reading >= 0:
            os.close(self.reading)
        self.reading = -1
        return code


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_node_whose_output_nobody_reads_goes_on_and_ends_in_order(tmp_path: Path) -> None:
    arguments = ("--access-log", "--log-format", "json")
    log = f"file:{tmp_path / 'log'}"
    with Unread(tmp_path / "node", log, arguments) as node:
        path = "/users/" + "x" * 300
        for _ in range(2 * PIPE_BYTES // 300):
            assert node.request("GET", path).status == 404
        answer = node.request("POST", "/users", user())
        assert answer.status == 201
        (worker,) = node.children()["worker"]
        kill(worker)  # its supervisor says so, and nobody reads that either
        wait_until(lambda: node.request("GET", "/users").status == 200)
        assert node.stop() == 0


def test_without_descriptors_connections_are_refused_and_the_worker_rests(tmp_path: Path) -> None:
    with make_node(tmp_path) as node, ExitStack() as opened:
        kept = socket.create_connection(("127.0.0.1", node.port), timeout=WAIT_S)
        opened.enter_context(kept)
        get = b"GET /users HTTP/1.1\r\nHost: localhost\r\n\r\n"
        kept.sendall(get)
        assert b" 200 " in kept.recv(100_000)
        (worker,) = node.children()["worker"]
        used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 5, hard))
        crowd = [
            opened.enter_context(socket.create_connection(("127.0.0.1", node.port), WAIT_S))
            for _ in range(40)
        ]
        began_s, began = cpu_s(worker), time.monotonic()
        wait_until(lambda: time.monotonic() - began > LOOK_S)
        assert (cpu_s(worker) - began_s) / LOOK_S < 0.3, "it spins"
        kept.sendall(get)
        assert b" 200 " in kept.recv(100_000), "who is connected is served"
        for connection in crowd:
            connection.close()
        wait_until(lambda: node.request("GET", "/users").status == 200)
        assert node.request("POST", "/users", user()).status == 201


@contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def refusing() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("broker", [refusing, silent])
def test_a_kafka_that_cannot_be_reached_costs_next_to_no_cpu(
    tmp_path: Path, broker: type[Iterator[int]]
) -> None:
    with broker() as port:  # type: ignore[attr-defined]
        node = Node(tmp_path / "a", f"kafka://127.0.0.1:{port}/events", [User])
        node.open(wait=False)
        try:
            wait_until(lambda: node.status()["state"] in {"opening", "log_unreachable"})
            began_s, began = time.process_time(), time.monotonic()
            pause = began + LOOK_S
            while (left_s := pause - time.monotonic()) > 0:
                assert not node.wait_closed(left_s)
            assert (time.process_time() - began_s) / (time.monotonic() - began) < 0.05
        finally:
            node.close()
