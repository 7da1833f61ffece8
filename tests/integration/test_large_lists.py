"""Lists of large rows: a bounded answer, and no snapshot held for a client that does not read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from tests.http_node import http_node
from tests.processes import Serve

ROWS = 45
LARGE = "x" * 500_000


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with http_node(tmp_path_factory.mktemp("lists")) as serve:
        for number in range(ROWS):
            row = {"id": f"{number:02}", "name": "a", "email": LARGE}
            assert serve.request("POST", "/users", row).status == 201
        yield serve


def test_a_list_of_large_rows_ends_early_and_names_its_next_page(serve: Serve) -> None:
    ids: list[str] = []
    path = "/users?_limit=1000"
    sizes: list[int] = []
    while path:
        answer = serve.request("GET", path)
        assert answer.status == 200
        sizes.append(len(answer.body))
        ids += [row["id"] for row in answer.json]
        path = answer.headers.get("link", "").partition(">")[0].lstrip("<")
    assert ids == [f"{number:02}" for number in range(ROWS)]
    assert len(sizes) > 1
    assert max(sizes) < 9 * len(LARGE) + 16 * 1024 * 1024


def test_a_client_that_does_not_read_holds_no_snapshot(serve: Serve) -> None:
    with closing(socket.create_connection(("127.0.0.1", serve.port))) as client:
        client.sendall(b"GET /users HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(1) == b"H", "the answer has begun"
        assert serve.request("POST", "/users", {"name": "b", "email": "b"}).status == 201
        (replica,) = serve.data.glob("replica-*.db")
        with closing(apsw.Connection(str(replica))) as other:
            other.set_busy_timeout(2_000)
            other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)  # busy where one is held
        assert serve.request("GET", "/users/00").status == 200
