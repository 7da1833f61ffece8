"""What one worker holds of requests and answers: bodies that come, answers that nobody reads."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from clusterlite.http import protocol
from clusterlite.http.app import App
from clusterlite.http.messages import Request, Response
from clusterlite.http.service import Limits
from clusterlite.http.writes import Write
from tests.bare_worker import make_app, serving
from tests.processes import wait_until

BODIES = 100_000
ONE = 60_000
LARGE = 16 * 1024 * 1024
ANSWER_S = 30.0

Connect = Callable[..., socket.socket]


class Large(App):
    """Answers each read with more than a socket takes in."""

    answered = 0

    def begin(self, request: Request) -> Response | Write | Coroutine[Any, Any, Response]:
        self.answered += 1
        return Response(200, [], b"x" * LARGE)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path, Limits(body_bytes=ONE, bodies_bytes=BODIES))


@pytest.fixture
def connect(app: App) -> Iterator[Connect]:
    """Connections to a worker, each after sending some bytes."""
    with serving(app) as worker, ExitStack() as opened:

        def connected(*parts: bytes) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", worker.port), timeout=ANSWER_S)
            opened.enter_context(connection)
            for part in parts:
                connection.sendall(part)
            return connection

        yield connected


def post(size: int, path: str = "/users", more: str = "") -> bytes:
    """The head of a request with a body of this size."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {size}\r\n{more}\r\n"
    ).encode()


def answer(connection: socket.socket) -> tuple[int, bytes, dict[str, str]]:
    with HTTPResponse(connection) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read(), headers


def test_past_the_bytes_of_all_bodies_a_request_is_refused_until_there_is_room(
    connect: Connect, app: App
) -> None:
    first = connect(post(ONE), b" " * (ONE - 1))
    wait_until(lambda: app.bodies.bytes == ONE - 1)
    refused = connect(post(ONE), b" " * ONE)
    status, body, headers = answer(refused)
    assert (status, headers["retry-after"]) == (503, "1")
    assert b'"code":"overloaded"' in body
    assert f"this worker holds {ONE - 1} bytes of requests already".encode() in body
    assert app.bodies.bytes == ONE - 1
    refused.sendall(post(2) + b"{}")
    assert answer(refused)[0] != 400, "the connection goes on with its next request"
    first.sendall(b" ")
    assert b'"code":"overloaded"' not in answer(first)[1], "who was there first is served"
    wait_until(lambda: app.bodies.bytes == 0)
    again = connect(post(ONE), b" " * ONE)
    assert b'"code":"overloaded"' not in answer(again)[1], "it recovers at once"


@pytest.mark.parametrize(
    "sent",
    [
        (post(ONE), b" " * 1_000),
        (post(ONE, more="Expect: 100-continue\r\n"), b" " * 1_000),
        (post(ONE, "/-/transaction"), b" " * 1_000),
        (b"POST /users HTTP/1.0\r\nContent-Length: 60000\r\n\r\n", b" " * 1_000),
    ],
    ids=["short way", "expects", "system's", "HTTP/1.0"],
)
def test_who_goes_away_in_the_midst_of_a_body_leaves_nothing_behind(
    connect: Connect, app: App, sent: tuple[bytes, ...]
) -> None:
    connection = connect(*sent)
    wait_until(lambda: app.bodies.bytes == 1_000)
    connection.close()
    wait_until(lambda: app.bodies.bytes == 0)


@pytest.mark.parametrize("path", ["/users", "/-/transaction"])
@pytest.mark.parametrize("size", [10, ONE + 1])
def test_what_was_answered_is_held_no_more(
    connect: Connect, app: App, path: str, size: int
) -> None:
    connection = connect(post(size, path), b" " * size)
    assert answer(connection)[0] >= 400
    connection.close()
    wait_until(lambda: app.bodies.bytes == 0)


def test_a_transaction_is_refused_alike(connect: Connect, app: App) -> None:
    first = connect(post(ONE), b" " * (ONE - 1))
    wait_until(lambda: app.bodies.bytes == ONE - 1)
    status, body, _ = answer(connect(post(ONE, "/-/transaction"), b" " * ONE))
    assert status == 503
    assert b'"code":"overloaded"' in body
    first.close()
    wait_until(lambda: app.bodies.bytes == 0)


def test_past_the_bytes_of_unread_answers_those_go_that_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SWEEP_S", 0.05)
    get = b"GET /users HTTP/1.1\r\nHost: localhost\r\n\r\n"
    app = make_app(tmp_path, kind=Large)
    assert isinstance(app, Large)
    with serving(app, 2 * LARGE) as worker, ExitStack() as opened:

        def asks() -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", worker.port), timeout=ANSWER_S)
            opened.enter_context(connection).sendall(get)
            return connection

        deaf = [asks() for _ in range(4)]
        wait_until(lambda: app.answered == 4 and len(worker.connections) == 2)
        assert sum(map(is_whole, deaf)) == 2, "no more are cut than must be"
        assert len(answer(asks())[1]) == LARGE, "who reads is served"


def is_whole(connection: socket.socket) -> bool:
    try:
        return len(answer(connection)[1]) == LARGE
    except (IncompleteRead, ConnectionResetError):
        return False
