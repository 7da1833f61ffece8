"""The ASGI application of a worker: which routes answer a request, and how errors leave.

`/`, and everything under `/-/`, are the system's; all else begins with a table. One place
turns errors into problem documents, so that no route has a ladder of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

import apsw

from clusterlite.errors import Halt
from clusterlite.http.cors import PREFLIGHT
from clusterlite.http.entities import EntityRoutes
from clusterlite.http.messages import (
    Bodies,
    Message,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    read_body,
    send_response,
    split_path,
)
from clusterlite.http.problems import CONTENT_TYPE, HttpError, from_error, of_exception
from clusterlite.http.service import Service
from clusterlite.http.system import SystemRoutes
from clusterlite.http.writes import Write
from clusterlite.node.answers import Answer
from clusterlite.node.follower import classified
from clusterlite.telemetry import get_logger

_log = get_logger("clusterlite.http")


Observe = Callable[[str, bytes, int, float, int], None]
"""Told of each answer: method, raw path, status, seconds, bytes of the body."""


class App:
    """One worker's application.

    A table's request is answered in steps, so that a server may do without a task for it:
    `begin`, and where that gives a write, `finish`; where it gives a coroutine, `wait`.

    Args:
        service: its parts; opened and closed with the ASGI lifespan.
        observe: told of each answer; nobody by default.
        start_wait_s: how long the start waits for a node that serves its tables, in seconds;
            what is asked after that is told what is missing.
    """

    def __init__(
        self, service: Service, observe: Observe | None = None, start_wait_s: float = 0.0
    ) -> None:
        self.observe = observe
        self._start_wait_s = start_wait_s
        self.body_bytes_max = service.limits.body_bytes
        self.bodies = Bodies(service.limits.bodies_bytes)
        self._service = service
        self._entities = EntityRoutes(service)
        self._system = SystemRoutes(service)
        self._cors = service.cors

    def begin(self, request: Request) -> Response | Write | Coroutine[Any, Any, Response]:
        """Answer a request for a table, or begin to."""
        try:
            request.path = split_path(request.raw_path)
            if request.method == "OPTIONS":
                return Response(200, list(PREFLIGHT))
            answer = self._entities.handle(request)
        except Exception as error:  # noqa: BLE001 - the last border; what is unknown is logged
            return self.problem(request, error)
        if type(answer) is Response:
            answer.headers.extend(self._cors.headers(request))
        return answer

    def finish(self, request: Request, write: Write, answer: Answer) -> Response:
        """Answer a write whose event was answered."""
        try:
            response = write.response(answer)
        except Exception as error:  # noqa: BLE001
            return self.problem(request, error)
        response.headers.extend(self._cors.headers(request))
        return response

    async def wait(self, request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
        """Answer a read that waits."""
        try:
            response = await answer
        except Exception as error:  # noqa: BLE001
            return self.problem(request, error)
        response.headers.extend(self._cors.headers(request))
        return response

    def problem(self, request: Request, error: Exception) -> Response:
        """The answer to what went wrong."""
        problem = of_exception(error) or _unreadable(request, error)
        if problem is None:
            path = request.raw_path.decode("latin-1")
            _log.error("request_failed", method=request.method, path=path, exc_info=error)
            problem = HttpError(500, "internal", "this is a defect; the log of the node has more")
        headers = [
            (b"content-type", CONTENT_TYPE),
            *problem.headers,
            *self._cors.headers(request),
        ]
        return Response(
            problem.status, headers, problem.body(request.raw_path.decode("ascii", "replace"))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the lifespan; as any ASGI server calls it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = Request.of_scope(scope)
        started = time.perf_counter()
        status = size = held = 0

        async def held_receive() -> Message:
            nonlocal held
            message = await receive()
            taken = len(message.get("body", b""))
            self.bodies.take(taken)
            held += taken
            return message

        async def counted(message: Message) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)

        try:
            is_system = split_path(request.raw_path)[0] in {"", "-"}
            if is_system and request.method != "OPTIONS":
                await self._system_route(request, scope, held_receive, counted)
            else:
                await send_response(counted, await self._table_route(request, held_receive))
        except Exception as error:  # noqa: BLE001
            await send_response(counted, self.problem(request, error))
        finally:
            self.bodies.give_back(held)
        if self.observe is not None:
            took_s = time.perf_counter() - started
            self.observe(request.method, request.raw_path, status, took_s, size)

    async def _table_route(self, request: Request, receive: Receive) -> Response:
        request.body = await read_body(receive, self.body_bytes_max)
        answer = self.begin(request)
        if isinstance(answer, Response):
            return answer
        if not isinstance(answer, Write):
            return await self.wait(request, answer)
        return self.finish(request, answer, await answer.decided())

    async def _system_route(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._cors.headers(request)]
            await send(message)

        # Starlette answers unknown paths and methods itself, unless an app is named.
        scope["app"] = self
        await self._system.router(scope, receive, with_cors)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._service.open(self._start_wait_s)
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._service.link.close()
                self._service.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _unreadable(request: Request, error: Exception) -> HttpError | None:
    """The answer to a read whose file fails under it; None where it is something else.

    A write that fails so may have happened all the same: it is told as a defect, which says nothing
    of its outcome.
    """
    if not isinstance(error, apsw.Error) or request.method not in {"GET", "HEAD"}:
        return None
    found = classified(error)
    if not isinstance(found, Halt) or found.reason == "internal":
        return None
    _log.error("replica_unreadable", reason=found.reason, detail=found.detail, cure=found.cure)
    return from_error(found)
