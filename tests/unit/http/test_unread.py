"""A client that does not read its answer costs a bounded time, and then nothing (I14)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from clusterlite import Entity
from clusterlite.http.protocol import UNREAD_S
from clusterlite.log.memory import MemoryLog
from tests.app_node import AppNode
from tests.processes import wait_until

ROWS, ROW_BYTES = 12, 700_000
"""Together more than the sockets' buffers take."""


class Note(Entity, table="notes"):
    text: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppNode]:
    with AppNode(tmp_path_factory.mktemp("unread") / "a", MemoryLog(), [Note]) as served:
        for number in range(ROWS):
            served.node.create(Note(id=f"{number:02}", text="x" * ROW_BYTES))
        yield served


@pytest.fixture(scope="module")
def port(served: AppNode) -> int:
    return int(served.listen().rpartition(":")[2])


@pytest.fixture
def client(served: AppNode, port: int) -> Iterator[socket.socket]:
    """One that asked for a long list, and has taken none of it yet."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /notes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        wait_until(lambda: served.unsent() > 1_000_000)
        yield client
    wait_until(lambda: served.expire(0.0) == 0)


def take_all(client: socket.socket) -> int:
    """Read until the end; how much there was."""
    taken = 0
    try:
        while part := client.recv(1 << 20):
            taken += len(part)
    except ConnectionResetError:
        pass
    return taken


def test_who_takes_nothing_of_an_answer_is_cut_off_and_the_rest_is_forgotten(
    served: AppNode, client: socket.socket
) -> None:
    served.expire(1_000.0)
    served.expire(1_000.0 + UNREAD_S - 0.1)
    assert served.unsent() > 1_000_000, "cut off too soon"
    served.expire(1_000.0 + UNREAD_S)
    wait_until(lambda: served.expire(0.0) == 0)
    assert take_all(client) < ROWS * ROW_BYTES
    assert served.request("GET", "/notes/00").status == 200


def test_who_reads_slowly_is_not_cut_off(served: AppNode, client: socket.socket) -> None:
    now, taken = 1_000.0, 0
    served.expire(now)
    for _ in range(3):
        before = served.unsent()
        while served.unsent() == before:
            taken += len(client.recv(1 << 16))
        now += UNREAD_S - 0.1
        served.expire(now)
    assert taken + take_all(client) > ROWS * ROW_BYTES, "the answer was cut short"
