"""The server's HTTP protocol: uvicorn's, with a short way for the routes of tables.

A request for a table, when it is whole, goes straight to the application and its answer straight
to the socket, in one write: no task, no event, no ASGI messages. All else goes uvicorn's way:
the system's routes, pipelined requests, HTTP/1.0, `Expect`, clients that do not read.

Bounds (I14): the head of a request, the time that head and body may take, idle connections, the
bytes of all bodies that are held, and of all answers that are not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from clusterlite.errors import Overloaded
from clusterlite.http.app import App
from clusterlite.http.messages import NO_LENGTH, Request, Response, too_large
from clusterlite.http.problems import CONTENT_TYPE, HttpError
from clusterlite.http.writes import Write
from clusterlite.node.answers import Answer
from clusterlite.telemetry import get_logger

HEAD_BYTES_MAX: Final = 64 * 1024
HEADERS_MAX: Final = 100
REQUEST_S: Final = 30.0
"""How long a head may take, and a body without progress."""

UNREAD_S: Final = 30.0
"""How long a client may take nothing of an answer; then the rest is forgotten."""

KEEP_ALIVE_S: Final = 75.0
SWEEP_S: Final = 1.0

_IDLE, _HEAD, _BODY = range(3)

_SINGLE: Final = frozenset(
    {b"host", b"if-match", b"if-none-match", b"idempotency-key", b"clusterlite-token"}
)
"""Headers of which the last would count, where one is to be judged."""

_log = get_logger("clusterlite.http")


class _Silent:
    """Stands for the event that uvicorn sets on its cycles: nobody waits for it here."""

    def set(self) -> None:
        """Nothing."""


class _Exchange:
    """A request on the short way, until it is answered; stands where uvicorn keeps its cycle."""

    __slots__ = ("disconnected", "held", "keep_alive", "request", "response_complete", "started")

    message_event = _Silent()

    def __init__(self, request: Request, *, keep_alive: bool, started: float) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.started = started
        self.response_complete = False
        self.disconnected = False
        self.held = 0
        """Bytes of the body that the worker counts as held."""

    @property
    def response_started(self) -> bool:
        """As uvicorn's: the answer leaves whole."""
        return self.response_complete


class Protocol(HttpToolsProtocol):
    """One connection."""

    _awaits = _IDLE
    _chunk_bytes = 0
    _head_bytes = 0
    _deadline = 0.0
    unsent = 0
    """Bytes of answers that the client had not taken when it was last looked at."""

    unread_since = 0.0
    """When it last took some of them, by the monotonic clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._application = cast("App", self.app)
        self._observe = self._application.observe
        self._body_max = self._application.body_bytes_max
        self._bodies = self._application.bodies
        self._deadline = time.monotonic() + KEEP_ALIVE_S

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks do the work."""
        self._chunk_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserInvalidMethodError:
            self._refuse(501, "no_such_method", "this server does not know the method")
        except httptools.HttpParserError as error:
            self._refuse(400, "bad_request", f"this is no HTTP/1.1 request: {error}")
        if self._awaits:
            self._incomplete()

    def _incomplete(self) -> None:
        """A request has begun and is not whole."""
        if self._awaits == _BODY:
            self._deadline = time.monotonic() + REQUEST_S
            return
        if self._head_bytes == 0:
            self._deadline = time.monotonic() + REQUEST_S
        self._head_bytes += self._chunk_bytes
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse_head()

    def _refuse_head(self) -> None:
        self._refuse(
            431,
            "head_too_large",
            f"the head of a request has at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers",
        )

    def _pass_over_upgrade(self, rest: bytes) -> None:
        """Read a request that asks for another protocol as if it did not (RFC 9110, 7.8)."""
        if self.parser.get_method() == b"CONNECT":
            self._refuse(501, "no_such_method", "this server is no proxy")
            return
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += (name, b": ", value, b"\r\n")
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([*head, b"\r\n", rest]))

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """A request begins; what ASGI needs of it is made where it goes that way."""
        self.url = b""
        self.headers = []
        self._awaits = _HEAD
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the request's way."""
        parser, url = self.parser, self.url
        if parser.should_upgrade() or self.transport.is_closing():
            return
        version = parser.get_http_version()
        path, _, query = url.partition(b"?")
        request = Request(parser.get_method().decode(), path, query, self.headers)
        if self._refuses_head(version, request):
            return
        self._awaits = _BODY
        expects = request.headers.get(b"expect")
        if (
            not self._is_answering()
            and url[:1] == b"/"
            and url[1:2].isalpha()
            and expects is None
            and not self.flow.write_paused
            and version == "1.1"
        ):
            started = 0.0 if self._observe is None else time.perf_counter()
            exchange = _Exchange(request, keep_alive=parser.should_keep_alive(), started=started)
            self.cycle = cast("Any", exchange)
            length = request.headers.get(b"content-length")
            if length is not None and int(length) > self._body_max:
                self._refuse_body(exchange, too_large(self._body_max))
        else:
            self._by_asgi(expects)

    def _refuses_head(self, version: str, request: Request) -> bool:
        if len(self.headers) > HEADERS_MAX or self._is_long():
            self._refuse_head()
        elif version not in {"1.0", "1.1"}:
            self._refuse(400, "bad_request", f"this is no HTTP/1.1 request: it is {version}")
        elif b"host" not in request.headers and version == "1.1":
            self._refuse(400, "bad_request", "this is no HTTP/1.1 request: it has no Host")
        elif len(request.headers) != len(self.headers) and (twice := _repeated(self.headers)):
            self._refuse(400, "bad_request", f"the header {twice} stands there twice; send one")
        else:
            return False
        return True

    def _is_long(self) -> bool:
        if self._head_bytes + self._chunk_bytes <= HEAD_BYTES_MAX:
            return False  # as nearly always: all that has come is no more
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
        return size > HEAD_BYTES_MAX

    def _by_asgi(self, expects: bytes | None) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.expect_100_continue = expects is not None and expects.lower() == b"100-continue"
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self.transport.is_closing():
            return
        exchange: Any = self.cycle
        if type(exchange) is not _Exchange:
            if exchange is not None:
                super().on_body(body)
        elif not exchange.response_complete:
            self._hold(exchange, body)

    def _hold(self, exchange: _Exchange, body: bytes) -> None:
        try:
            self._bodies.take(len(body))
        except Overloaded as error:
            self._refuse_body(exchange, error)
            return
        exchange.held += len(body)
        exchange.request.body += body
        if exchange.held > self._body_max:
            self._refuse_body(exchange, too_large(self._body_max))

    def _let_go(self, exchange: _Exchange) -> None:
        self._bodies.give_back(exchange.held)
        exchange.held = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; of a write that is under way the link holds what it sends."""
        super().connection_lost(exc)
        exchange: Any = self.cycle
        if type(exchange) is _Exchange:
            self._let_go(exchange)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.parser.should_upgrade() or self.transport.is_closing():
            return
        self._awaits = _IDLE
        exchange: Any = self.cycle
        if type(exchange) is not _Exchange:
            if exchange is not None:
                super().on_message_complete()
        elif not exchange.response_complete:
            self._begin(exchange)

    # The short way.

    def _begin(self, exchange: _Exchange) -> None:
        request = exchange.request
        answer = self._application.begin(request)
        if type(answer) is Response:
            self._respond(exchange, answer)
        elif isinstance(answer, Write):
            write = answer
            write.send(lambda decided: self._decided(exchange, write, decided))
        else:
            self._keep(self._wait(exchange, cast("Coroutine[Any, Any, Response]", answer)))

    def _decided(self, exchange: _Exchange, write: Write, answer: Answer) -> None:
        self._respond(exchange, self._application.finish(exchange.request, write, answer))

    async def _wait(self, exchange: _Exchange, answer: Coroutine[Any, Any, Response]) -> None:
        self._respond(exchange, await self._application.wait(exchange.request, answer))

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a task that the server waits for when it ends."""
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _respond(self, exchange: _Exchange, response: Response) -> None:
        exchange.response_complete = True
        if exchange.held:
            self._let_go(exchange)
        transport = self.transport
        if exchange.disconnected or transport.is_closing():
            return
        status, headers, body = response
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if status not in NO_LENGTH:
            parts.append(b"content-length: %d\r\n" % len(body))
        if not exchange.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if exchange.request.method != "HEAD":
            parts.append(body)
        transport.write(b"".join(parts))
        if self._observe is not None:
            request = exchange.request
            took_s = time.perf_counter() - exchange.started
            self._observe(request.method, request.raw_path, status, took_s, len(body))
        if not exchange.keep_alive:
            transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with what was pipelined, or wait for the next request; no timer of its own."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, application = self.pipeline.pop()
            self._start_asgi_task(cycle, application)
        else:
            self._deadline = time.monotonic() + KEEP_ALIVE_S

    # Refusals of the protocol's own.

    def _refuse_body(self, exchange: _Exchange, error: Exception) -> None:
        """The rest of the body is passed over, so that the client can read the answer."""
        self._respond(exchange, self._application.problem(exchange.request, error))

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what cannot be read as a request, and hang up."""
        reads_body, self._awaits = self._awaits == _BODY, _IDLE
        if self.transport.is_closing():
            return
        # Whoever waits for an earlier answer would take this one for it: a write that happened
        # would look refused (I11). Without an answer it is unknown, which is true. A request
        # whose body was refused has its answer: this would be taken for the next one's.
        is_owed = not self._has_begun_answer() if reads_body else not self._is_answering()
        if not self.pipeline and is_owed:
            body = HttpError(status, code, detail).body("/")
            self.transport.write(
                b"%bcontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (STATUS_LINE[status], CONTENT_TYPE, len(body), body)
            )
        self.transport.close()

    def _has_begun_answer(self) -> bool:
        """Whether the request whose body is read was answered, in part at least."""
        return self.cycle is not None and self.cycle.response_started

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client will send no more: a request that is not whole never will be.

        Returns:
            Whether the connection stays, for answers that are still to come.
        """
        if self._awaits:
            self._refuse(400, "incomplete", "the request ended before it was complete")
        if not self._is_answering():
            return False
        self.cycle.keep_alive = False  # the newest request's: it is answered last
        return True

    def expire(self, now: float) -> None:
        """End what has waited too long for its client.

        Args:
            now: by the monotonic clock.
        """
        unsent = self.transport.get_write_buffer_size()
        if unsent != self.unsent:
            self.unsent, self.unread_since = unsent, now
        if unsent:
            if now - self.unread_since >= UNREAD_S:
                self.transport.abort()  # `close` would keep the rest for as long as it is not read
            return
        if now < self._deadline or (self._is_answering() and self._awaits != _BODY):
            return
        if self._awaits:
            self._refuse(
                408, "too_slow", f"the request was not complete within {REQUEST_S:g} seconds"
            )
        else:
            self.transport.close()


async def sweep(connections: set[Any], unread_bytes_max: int) -> None:
    """Expire connections until cancelled; a defect at one of them ends that one alone.

    Args:
        connections: of the server, each a `Protocol`.
        unread_bytes_max: of the answers that all of them have not read.
    """
    while True:
        await asyncio.sleep(SWEEP_S)
        now = time.monotonic()
        for connection in list(connections):
            _look_after(connection, now)
        try:
            cut_unread(connections, unread_bytes_max)
        except Exception as error:  # noqa: BLE001 - the next round may go well
            _log.error("defect", task="sweep", exc_info=error)


def _look_after(connection: Protocol, now: float) -> None:
    """Expire a connection; one that cannot be looked after would have no bound, and is ended."""
    try:
        connection.expire(now)
    except Exception as error:  # noqa: BLE001
        _log.error("defect", task="sweep", exc_info=error)
        with contextlib.suppress(Exception):
            connection.transport.abort()


def cut_unread(connections: Iterable[Protocol], bytes_max: int) -> None:
    """Forget answers that are not read until the rest is within a bound.

    Those go first that took nothing for the longest, and of these the largest.
    """
    unread = sum(connection.unsent for connection in connections)
    if unread <= bytes_max:
        return
    for connection in sorted(connections, key=lambda each: (each.unread_since, -each.unsent)):
        if connection.unsent:
            connection.transport.abort()
            unread -= connection.unsent
            if unread <= bytes_max:
                return


def _repeated(listed: list[tuple[bytes, bytes]]) -> str:
    """A header that stands twice and must not; empty where there is none."""
    names = [name for name, _ in listed if name in _SINGLE]
    return next((name.decode() for name in names if names.count(name) > 1), "")
