"""What `deploy/nginx.conf` promises, on a real Nginx before nodes that die on demand: no write is
sent twice unless that is safe, and what passes is passed as it came.
"""

from __future__ import annotations

import http.client
import itertools
import socketserver
import threading
from collections.abc import Iterator
from typing import NamedTuple, Self

import pytest

from clusterlite.http.protocol import KEEP_ALIVE_S
from clusterlite.testing.cluster.kafka import free_ports
from clusterlite.testing.cluster.nginx import Nginx
from clusterlite.testing.cluster.place import NGINX_CONFIG
from tests.conftest import StartNginx
from tests.processes import request

WRITES = ("POST", "PUT", "PATCH", "DELETE")
NODES = 3

DIES = b""
"""The node takes the whole request, and its connection ends without an answer."""

DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway"


class Seen(NamedTuple):
    """A request as a node got it."""

    node: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Nodes:
    """Three nodes' ports, and one script of what happens to the requests that come to any."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: Iterator[bytes] = itertools.repeat(DONE)
        self.read_on = threading.Event()
        nodes = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while nodes.handle(self):
                    pass

        self._servers = [Server(("127.0.0.1", 0), Handler) for _ in range(NODES)]
        self.ports = [server.server_address[1] for server in self._servers]

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def handle(self, wire: socketserver.StreamRequestHandler) -> bool:
        """One request; whether the connection lives on."""
        first = wire.rfile.readline()
        if not first.strip():
            return False
        headers = http.client.parse_headers(wire.rfile)
        body = wire.rfile.read(int(headers.get("content-length", "0")))
        method, path, _ = first.decode().split()
        known = {name.lower(): value for name, value in headers.items()}
        node = wire.connection.getsockname()[1]
        self.seen.append(Seen(node, method, path, known, body))
        if path == "/stream":
            wire.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\none,")
            self.read_on.wait(10)
            wire.wfile.write(b"two.")
            return True
        answer = next(self.script)
        wire.wfile.write(answer)
        return answer != DIES


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with Nodes() as nodes:
        yield nodes


@pytest.fixture
def nginx(nodes: Nodes, start_nginx: StartNginx) -> Nginx:
    return start_nginx(nodes.ports)


def test_nginx_takes_the_file_as_it_is_shipped(nginx: Nginx) -> None:
    assert nginx.check() == ""


@pytest.mark.parametrize("method", WRITES)
def test_a_write_without_a_key_is_never_sent_twice(nginx: Nginx, nodes: Nodes, method: str) -> None:
    nodes.script = iter([DIES, DONE, DONE])
    assert request(nginx.port, method, "/users/1", {"name": "Ann"}).status == 502
    assert [seen.method for seen in nodes.seen] == [method]


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("fate", [DIES, AWAY], ids=["dies", "away"])
def test_a_write_with_a_key_goes_to_another_node(
    nginx: Nginx, nodes: Nodes, method: str, fate: bytes
) -> None:
    nodes.script = iter([fate, fate, DONE])
    answer = request(nginx.port, method, "/users/1", {"name": "Ann"}, {"Idempotency-Key": "k"})
    assert (answer.status, answer.body) == (200, b"done")
    assert [seen.method for seen in nodes.seen] == [method] * NODES
    assert {seen.body for seen in nodes.seen} == {b'{"name": "Ann"}'}
    assert {seen.headers["idempotency-key"] for seen in nodes.seen} == {"k"}


@pytest.mark.parametrize("fate", [DIES, AWAY], ids=["dies", "away"])
def test_a_read_goes_to_another_node(nginx: Nginx, nodes: Nodes, fate: bytes) -> None:
    nodes.script = iter([fate, fate, DONE])
    assert request(nginx.port, "GET", "/users").status == 200
    assert len(nodes.seen) == NODES


def test_writes_that_every_node_refuses_do_not_stop_the_reads(nginx: Nginx, nodes: Nodes) -> None:
    for _ in range(5):
        nodes.script = itertools.chain([AWAY] * NODES, itertools.repeat(DONE))
        refused = request(nginx.port, "POST", "/users", {}, {"Idempotency-Key": "k"})
        assert (refused.status, refused.body) == (503, b"away")
        assert request(nginx.port, "GET", "/users").status == 200


def test_a_nodes_refusal_of_a_write_without_a_key_reaches_the_client(
    nginx: Nginx, nodes: Nodes
) -> None:
    nodes.script = iter([AWAY, DONE])
    answer = request(nginx.port, "POST", "/users", {"name": "Ann"})
    assert (answer.status, answer.body) == (503, b"away")


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
def test_what_was_not_sent_yet_goes_to_a_node_that_listens(
    nodes: Nodes, start_nginx: StartNginx, method: str
) -> None:
    nginx = start_nginx([*free_ports(2), nodes.ports[0]])
    for _ in range(6):
        assert request(nginx.port, method, "/users/1", {"name": "Ann"}).status == 200
    assert len(nodes.seen) == 6


def test_requests_go_to_every_node_in_turn(nginx: Nginx, nodes: Nodes) -> None:
    for _ in range(NODES):
        request(nginx.port, "GET", "/users")
    assert {seen.node for seen in nodes.seen} == set(nodes.ports)


def test_a_node_sees_the_host_that_the_client_sent(nginx: Nginx, nodes: Nodes) -> None:
    for method in ("GET", *WRITES):
        request(nginx.port, method, "/users", {}, {"Host": "db.example.com:8082"})
    assert {seen.headers["host"] for seen in nodes.seen} == {"db.example.com:8082"}
    assert len(nodes.seen) == 1 + len(WRITES)


def test_path_query_and_a_large_body_arrive_as_they_were_sent(nginx: Nginx, nodes: Nodes) -> None:
    body = bytes(range(256)) * 4000
    path = "/users/a%2Fb%20c?name__like=%25x&_limit=1"
    assert request(nginx.port, "PUT", path, body).status == 200
    (seen,) = nodes.seen
    assert (seen.path, seen.body) == (path, body)


def test_a_stream_passes_as_it_comes(nginx: Nginx, nodes: Nodes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    try:
        connection.request("GET", "/stream")
        answer = connection.getresponse()
        assert answer.read(4) == b"one,"
        nodes.read_on.set()
        assert answer.read() == b"two."
    finally:
        connection.close()


def test_nginx_lets_go_of_an_idle_connection_before_a_node_does() -> None:
    """Else it would send a write into a connection that is just being closed."""
    default_s = 60
    assert "keepalive_timeout" not in NGINX_CONFIG.read_text()
    assert default_s < KEEP_ALIVE_S
