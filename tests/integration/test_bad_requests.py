"""Requests that no HTTP client would send, byte by byte: each is answered, and none does harm.

What follows on other connections works as ever, the log has not grown, and where a request was
refused nothing of it was written.
"""

from __future__ import annotations

import io
import json
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPMessage, parse_headers
from pathlib import Path

import pytest

from clusterlite.http import protocol
from tests.bare_worker import make_app, serving
from tests.http_node import check_problem, http_node, user
from tests.processes import Answer, Serve, wait_until

ANSWER_S = 30.0
BODY = json.dumps(user("Raw")).encode()
CLOSE = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node of this module."""
    with http_node(tmp_path_factory.mktemp("bad-requests")) as serve:
        yield serve


@contextmanager
def unharmed(node: Serve) -> Iterator[None]:
    """What happens inside writes nothing, and the same processes go on answering."""
    before, children = node.request("GET", "/-/cluster").json, node.children()
    yield
    after = node.request("GET", "/-/cluster").json
    assert (after["position"], after["hash"]) == (before["position"], before["hash"])
    assert node.children() == children
    assert node.request("GET", "/users?_limit=1").status == 200


def send(port: int, *parts: bytes, shut: bool = False) -> list[Answer]:
    """The answers to these parts of requests; see `send_each`."""
    return send_each(port, parts, shut=shut)


def send_each(port: int, parts: Iterable[bytes], *, shut: bool = False) -> list[Answer]:
    """The answers that a connection brings until the server closes it.

    Args:
        port: of the node.
        parts: sent one by one, as they come.
        shut: say that no more will come.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                connection.sendall(part)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass  # it answered and closed before all was sent
    return parsed(received)


def parsed(received: bytes) -> list[Answer]:
    stream, answers = io.BytesIO(received), []
    while line := stream.readline():
        version, status = line.split()[:2]
        assert version == b"HTTP/1.1", line
        found: HTTPMessage = parse_headers(stream)
        headers = {name.lower(): value for name, value in found.items()}
        body = stream.read(int(headers.get("content-length", "0")))
        answers.append(Answer(int(status), headers, body))
    return answers


def one(answers: list[Answer]) -> Answer:
    assert len(answers) == 1, answers
    return answers[0]


def post(
    *headers: bytes, body: bytes = BODY, line: bytes = b"POST /users HTTP/1.1", length: int = -1
) -> bytes:
    """A request for a new user, with more headers."""
    told = len(body) if length < 0 else length
    lines = [
        line,
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Content-Length: %d" % told,
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


def get(path: bytes = b"/users?_limit=1", *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *headers, b"", b""])


# What cannot be read as a request.

NO_REQUEST: dict[str, bytes] = {
    "http-0.9": b"GET /users\r\n\r\n",
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-9.9": b"GET /users HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "space-in-the-path": b"GET /users/a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes-in-the-path": "GET /users/é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "header-without-colon": b"GET /users HTTP/1.1\r\nHost localhost\r\n\r\n",
    "header-with-nul": b"GET /users HTTP/1.1\r\nHost: local\0host\r\n\r\n",
    "header-folded": b"GET /users HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n",
    "length-negative": post().replace(b"Content-Length: ", b"Content-Length: -"),
    "length-no-number": post().replace(b"Content-Length: ", b"Content-Length: x"),
    "length-beyond-64-bits": post(length=10**30),
    "length-twice": post(b"Content-Length: 3"),
    "length-and-chunks": post(b"Transfer-Encoding: chunked"),
    "chunks-then-gzip": post(b"Transfer-Encoding: chunked, gzip"),
    "chunk-size-no-number": (
        b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    ),
    "chunk-longer-than-its-size": (
        b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n"
    ),
    "chunk-size-beyond-64-bits": (
        b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("raw", NO_REQUEST.values(), ids=NO_REQUEST)
def test_what_is_no_request_is_answered_as_such_and_hung_up(node: Serve, raw: bytes) -> None:
    with unharmed(node):
        answer = one(send(node.port, raw))
        document = check_problem(answer, 400, "bad_request")
    assert "no HTTP/1.1 request: " in document["detail"]
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "method",
    [b"BREW", b"GETT", b"get", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=["BREW", "GETT", "lower-case", "tls-hello"],
)
def test_an_unknown_method_is_told_as_such(node: Serve, method: bytes) -> None:
    with unharmed(node):
        answer = one(send(node.port, post(line=method + b" /users HTTP/1.1")))
    assert answer.status in {405, 501}
    document = check_problem(answer, answer.status, answer.json["code"])
    assert document["code"] in {"method_not_allowed", "no_such_method"}
    assert "method" in document["detail"]


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"PROPFIND", b"MKCOL", b"LINK"])
def test_a_method_that_is_not_for_here_is_refused(node: Serve, method: bytes) -> None:
    target = b"localhost:80" if method == b"CONNECT" else b"/users"
    with unharmed(node):
        line = method + b" " + target + b" HTTP/1.1"
        answer = one(send(node.port, post(CLOSE.strip(), line=line)))
    assert answer.status in {405, 501}
    check_problem(answer, answer.status, answer.json["code"])


@pytest.mark.parametrize("method", [b"OPTIONS", b"GET", b"POST"])
def test_a_target_that_is_no_path_is_told_as_such(node: Serve, method: bytes) -> None:
    with unharmed(node):
        answer = one(send(node.port, post(CLOSE.strip(), line=method + b" * HTTP/1.1")))
    assert (answer.status, answer.json["code"]) == (400, "bad_path")


@pytest.mark.parametrize(
    "name", [b"Host", b"If-Match", b"If-None-Match", b"Idempotency-Key", b"ClusterLite-Token"]
)
def test_a_header_that_is_judged_stands_once(node: Serve, name: bytes) -> None:
    twice = name + b": a", name.lower() + b": b"
    with unharmed(node):
        answer = one(send(node.port, post(*twice)))
        document = check_problem(answer, 400, "bad_request")
    assert f"the header {name.decode().lower()} stands there twice" in document["detail"]


# Heads without end.

HEADS: dict[str, bytes] = {
    "10000-headers": get(b"/users", *(b"x-%d: y" % n for n in range(10_000))),
    "101-headers": get(b"/users", *(b"x-%d: y" % n for n in range(101))),
    "one-header-of-100000": get(b"/users", b"x: " + b"a" * 100_000),
    "ten-headers-of-10000": get(b"/users", *(b"x-%d: " % n + b"a" * 10_000 for n in range(10))),
    "cookies-of-100000": get(b"/users", b"Cookie: " + b"a=b; " * 20_000),
    "request-line-of-100000": get(b"/users/" + b"a" * 100_000),
    "query-of-100000": get(b"/users?_cursor=" + b"a" * 100_000),
    "header-name-of-100000": get(b"/users", b"x" * 100_000 + b": y"),
}


@pytest.mark.parametrize("cut", [True, False], ids=["in-pieces", "at-once"])
@pytest.mark.parametrize("raw", HEADS.values(), ids=HEADS)
def test_a_head_over_the_limits_is_refused(node: Serve, raw: bytes, cut: bool) -> None:
    pieces = [raw[n : n + 4096] for n in range(0, len(raw), 4096)] if cut else [raw]
    with unharmed(node):
        answers = send(node.port, *pieces)
    if answers:  # where the client was still sending, a reset may have taken the answer
        document = check_problem(one(answers), 431, "head_too_large")
        assert "65536 bytes and 100 headers" in document["detail"]


def test_a_flood_of_one_header_without_end_is_refused_before_it_ends(node: Serve) -> None:
    with unharmed(node):
        raw = b"GET /users HTTP/1.1\r\nHost: localhost\r\nx: " + b"a" * 70_000
        check_problem(one(send(node.port, raw)), 431, "head_too_large")


def test_a_head_up_to_the_limits_is_taken(node: Serve) -> None:
    headers = [b"x-%d: %s" % (n, b"a" * 600) for n in range(97)]
    answer = one(send(node.port, get(b"/users?_limit=1", CLOSE.strip(), *headers)))
    assert answer.status == 200


# Bodies that do not come as they were told.


def test_a_body_that_stops_half_way_is_refused_and_not_written(node: Serve) -> None:
    with unharmed(node):
        answer = one(send(node.port, post(length=len(BODY) + 1), shut=True))
        document = check_problem(answer, 400, "incomplete")
    assert "before it was complete" in document["detail"]


def test_a_valid_body_that_was_told_longer_is_not_written_when_the_client_goes(
    node: Serve,
) -> None:
    """All of the JSON came, and yet it is not the body that was told."""
    with unharmed(node):
        with socket.create_connection(("127.0.0.1", node.port)) as connection:
            connection.sendall(post(length=len(BODY) + 1))
        with socket.create_connection(("127.0.0.1", node.port)) as connection:
            connection.sendall(post(length=len(BODY) + 1)[:-5])


def test_chunks_that_stop_half_way_are_refused_and_not_written(node: Serve) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    with unharmed(node):
        raw = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk
        check_problem(one(send(node.port, raw, shut=True)), 400, "incomplete")


def test_a_body_longer_than_told_is_cut_there_and_the_rest_is_no_request(node: Serve) -> None:
    with unharmed(node):
        answers = send(node.port, post(length=5))
    check_problem(answers[0], 400, "malformed")
    assert [answer.status >= 400 for answer in answers[1:]] in ([], [True])


@pytest.mark.parametrize("size", [1, 7, 1000], ids=lambda size: f"{size}-bytes-at-a-time")
def test_a_request_in_small_pieces_is_whole(node: Serve, size: int) -> None:
    raw = post(CLOSE.strip())
    answer = one(send(node.port, *(raw[n : n + size] for n in range(0, len(raw), size))))
    assert (answer.status, answer.json["name"]) == (201, "Raw")


def test_chunks_of_one_byte_are_whole(node: Serve) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in BODY)
    raw = head + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nx: y\r\n\r\n"
    assert one(send(node.port, raw)).status == 201


def test_a_client_that_has_sent_all_and_shuts_its_side_still_gets_the_answer(node: Serve) -> None:
    """As `nc -N` does. The row is written, so silence would leave the client guessing."""
    answer = one(send(node.port, post(), shut=True))
    assert (answer.status, answer.json["name"]) == (201, "Raw")


# Requests for something else than HTTP/1.1.


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x",
        b"Connection: upgrade\r\nUpgrade: TLS/1.0",
    ],
    ids=["h2c", "websocket", "tls"],
)
def test_an_upgrade_is_passed_over_and_the_body_kept(node: Serve, upgrade: bytes) -> None:
    raw, last = post(upgrade), get(b"/users?_limit=1", CLOSE.strip())
    for parts in (
        [raw + last],
        [raw, last],
        [raw[:-1], raw[-1:] + last],
        [raw[:-43], raw[-43:], last],
    ):
        written, read = send(node.port, *parts)
        assert (written.status, written.json["name"]) == (201, "Raw")
        assert read.status == 200


def test_http_1_0_is_answered_and_hung_up(node: Serve) -> None:
    answer = one(send(node.port, b"GET /users?_limit=1 HTTP/1.0\r\n\r\n"))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    written = one(send(node.port, post(line=b"POST /users HTTP/1.0")))
    assert written.status == 201


def test_an_address_with_scheme_and_host_is_taken_as_its_path(node: Serve) -> None:
    """RFC 9112, 3.2.2: a server takes the form that clients send to proxies."""
    raw = get(b"http://localhost/users?_limit=1", CLOSE.strip())
    assert one(send(node.port, raw)).status == 200
    raw = post(CLOSE.strip(), line=b"POST http://localhost/users HTTP/1.1")
    assert one(send(node.port, raw)).status == 201


def test_a_request_of_1_1_without_host_is_refused(node: Serve) -> None:
    """RFC 9112, 3.2: the guard of writes knows a foreign name by it."""
    with unharmed(node):
        raw = post(CLOSE.strip()).replace(b"Host: localhost\r\n", b"")
        assert one(send(node.port, raw)).status == 400


def test_expect_is_answered_before_the_body_and_the_body_taken(node: Serve) -> None:
    raw = post(b"Expect: 100-continue", CLOSE.strip())
    first, second = send(node.port, raw)
    assert (first.status, second.status) == (100, 201)


# Pipelined requests.


def test_pipelined_requests_are_answered_in_order(node: Serve) -> None:
    names = [f"pipe-{number}" for number in range(20)]
    raw = b"".join(post(body=json.dumps(user(name)).encode()) for name in names)
    answers = send(node.port, get() + raw + get(b"/nope") + get(b"/users?_limit=1", CLOSE.strip()))
    assert [answer.status for answer in answers] == [200, *[201] * 20, 404, 200]
    assert [answer.json["name"] for answer in answers[1:21]] == names


BEHIND_A_WRITE = {
    "garbage": b"XX\r\n\r\n",
    "http-0.9": b"GET /users\r\n\r\n",
    "no-host": b"GET /users HTTP/1.1\r\nConnection: close\r\n\r\n",
    "101-headers": HEADS["101-headers"],
    "one-header-of-100000": HEADS["one-header-of-100000"],
    "bad-chunk": NO_REQUEST["chunk-size-no-number"],
    "bad-chunk-behind-another": post() + NO_REQUEST["chunk-size-no-number"],
}


@pytest.mark.parametrize("raw", BEHIND_A_WRITE.values(), ids=BEHIND_A_WRITE)
def test_garbage_behind_a_write_does_not_answer_for_it(node: Serve, raw: bytes) -> None:
    """The write happens, so the first answer may be no refusal (I11), and it happens once."""
    email = f"{uuid.uuid4()}"
    answers = send(node.port, post(body=json.dumps(user(email=email)).encode()) + raw)
    assert [answer.status for answer in answers[:1]] in ([], [201]), answers
    wait_until(lambda: rows_with(node, email) > 0)
    node.request("POST", "/users", user())  # what was sent before it is in the log by now
    assert rows_with(node, email) == 1


def rows_with(node: Serve, email: str) -> int:
    rows = node.request("GET", "/users?_limit=10000").json
    return sum(row["email"] == email for row in rows)


def test_what_stands_behind_a_refused_head_is_not_done(node: Serve) -> None:
    """The connection is hung up there; a write behind it would have nobody to tell."""
    with unharmed(node):
        check_problem(one(send(node.port, HEADS["101-headers"] + post())), 431, "head_too_large")


def test_what_follows_a_refused_body_is_not_taken_for_a_request(node: Serve) -> None:
    """A body may hold the text of a request; refusing the body must not make it one."""
    hidden = get(b"/users/hidden")
    with unharmed(node):
        over = b" " * (1024 * 1024) + hidden
        answers = send(node.port, post(body=over), shut=True)
    if answers:
        check_problem(one(answers), 413, "too_large")
    with unharmed(node):
        raw = post(body=hidden).replace(b"application/json", b"text/plain")
        check_problem(one(send(node.port, raw, shut=True)), 415, "content_type")


# Clients that keep a connection and send nothing, or little.


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a worker without a node process, which waits half a second for its clients."""
    monkeypatch.setattr(protocol, "REQUEST_S", 0.5)
    monkeypatch.setattr(protocol, "SWEEP_S", 0.05)
    with serving(make_app(tmp_path)) as worker:
        yield worker.port


SLOW: dict[str, bytes] = {
    "half-a-line": b"GET /us",
    "http-0.9-without-end": b"GET /users\r\n",
    "half-a-head": b"GET /users HTTP/1.1\r\nHost: localhost\r\n",
    "no-body": post(length=50)[: -len(BODY)],
    "half-a-body": post(length=50),
}


@pytest.mark.parametrize("raw", SLOW.values(), ids=SLOW)
def test_a_client_that_stops_sending_is_told_and_hung_up(impatient: int, raw: bytes) -> None:
    answer = one(send(impatient, raw))
    if answer.status != 400:  # an HTTP/0.9 line is no request, however long one waits
        document = check_problem(answer, 408, "too_slow")
        assert "not complete within 0.5 seconds" in document["detail"]
    assert answer.headers["connection"] == "close"


def test_a_head_that_drips_is_ended_however_steadily_it_drips(impatient: int) -> None:
    """Each byte is progress; the whole head has a time of its own (a slow flood of headers)."""
    pause = threading.Event()

    def drip() -> Iterator[bytes]:
        yield b"GET /users HTTP/1.1\r\n"
        for number in range(1_000):
            yield b"x-%d: y\r\n" % number
            pause.wait(0.05)

    answers = send_each(impatient, drip())
    assert [answer.status for answer in answers] in ([], [408])


def test_a_body_that_drips_is_taken(impatient: int) -> None:
    """Slow is allowed while it comes: twelve pauses are longer than the wait without progress."""
    pause = threading.Event()

    def drip() -> Iterator[bytes]:
        head, _, body = post(CLOSE.strip()).rpartition(b"\r\n\r\n")
        yield head + b"\r\n\r\n"
        size = len(body) // 12 + 1
        for start in range(0, len(body), size):
            pause.wait(0.06)
            yield body[start : start + size]

    answer = one(send_each(impatient, drip()))
    assert answer.json["code"] == "not_serving", "the body was not taken"


CHUNKED = b"POST /-/nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERED_EARLY: dict[str, tuple[bytes, bytes | None]] = {
    "too-long-ends": (post(length=10**9), None),
    "too-long-waits": (post(length=10**9), b""),
    "no-route-ends": (post(line=b"POST /-/nothing HTTP/1.1", length=50), None),
    "no-route-waits": (post(line=b"POST /-/nothing HTTP/1.1", length=50), b""),
    "no-route-sends-no-chunk": (CHUNKED, b"zz\r\n"),
}
"""The request's beginning, and what comes after its answer: None for the end."""


@pytest.mark.parametrize(("raw", "after"), ANSWERED_EARLY.values(), ids=ANSWERED_EARLY)
def test_a_request_that_was_answered_before_its_end_has_no_second_answer(
    impatient: int, monkeypatch: pytest.MonkeyPatch, raw: bytes, after: bytes | None
) -> None:
    """A client that keeps the connection would take it for the answer to its next request."""
    monkeypatch.setattr(protocol, "KEEP_ALIVE_S", 0.5)
    with socket.create_connection(("127.0.0.1", impatient), timeout=ANSWER_S) as connection:
        connection.sendall(raw)
        received = connection.recv(65536)
        if after is None:
            connection.shutdown(socket.SHUT_WR)
        else:
            connection.sendall(after)
        while chunk := connection.recv(65536):
            received += chunk
    assert one(parsed(received)).status in {404, 413}
