"""The ASGI application of a worker: which routes answer a request, and how errors leave.

`/`, and everything under `/-/`, are the system's; all else begins with a table. One place
turns errors into problem documents, so that no route has a ladder of its own.
"""

from __future__ import annotations

from typing import Any

from clusterlite.http.cors import PREFLIGHT
from clusterlite.http.entities import EntityRoutes
from clusterlite.http.messages import (
    Receive,
    Request,
    Response,
    Scope,
    Send,
    respond,
    split_path,
)
from clusterlite.http.problems import CONTENT_TYPE, HttpError, of_exception
from clusterlite.http.service import Service
from clusterlite.http.system import SystemRoutes
from clusterlite.telemetry import get_logger

_log = get_logger("clusterlite.http")


class App:
    """One worker's application.

    Args:
        service: its parts; opened and closed with the ASGI lifespan.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._entities = EntityRoutes(service)
        self._system = SystemRoutes(service)
        self._cors = service.cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = Request(scope, receive)
        try:
            path = request.path = split_path(scope["raw_path"])
            if scope["method"] == "OPTIONS":
                response = Response(200, list(PREFLIGHT))
            elif path[0] in {"", "-"}:
                await self._system_route(request, receive, send)
                return
            else:
                answer = self._entities.handle(request)
                response = answer if isinstance(answer, Response) else await answer
                response.headers.extend(self._cors.headers(request))
        except Exception as error:  # noqa: BLE001 - the last border; what is unknown is logged
            response = self._problem(request, error)
        await respond(send, response)

    async def _system_route(self, request: Request, receive: Receive, send: Send) -> None:
        async def with_cors(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._cors.headers(request)]
            await send(message)

        scope = request.scope
        # Starlette answers unknown paths and methods itself, unless an app is named.
        scope["app"] = self
        await self._system.router(scope, receive, with_cors)  # type: ignore[arg-type]

    def _problem(self, request: Request, error: Exception) -> Response:
        problem = of_exception(error)
        if problem is None:
            scope = request.scope
            _log.error("request_failed", method=scope["method"], path=scope["path"], exc_info=error)
            problem = HttpError(500, "internal", "this is a defect; the log of the node has more")
        headers = [
            (b"content-type", CONTENT_TYPE),
            *problem.headers,
            *self._cors.headers(request),
        ]
        return Response(
            problem.status, headers, problem.body(request.scope["raw_path"].decode("ascii"))
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._service.link.open()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._service.link.close()
                self._service.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
