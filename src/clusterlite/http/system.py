"""The routes of the system: everything under `/-/`, and `/`.

GET  /                          a browser goes to the page, others get an index
GET  /-/cluster                 the node's status
GET  /-/health/live, ready      for supervisors and balancers
GET  /-/events/{id}             what became of an event
POST /-/events/{id}/settle      make an unknown outcome definite
GET  /-/openapi.json            the interface
GET  /-/ui/                     the page
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

import clusterlite
from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.names import is_key
from clusterlite.core.outcome import Applied, Outcome
from clusterlite.errors import ClusterLiteError
from clusterlite.http import messages
from clusterlite.http.openapi import openapi
from clusterlite.http.problems import HttpError, from_error
from clusterlite.http.service import WAIT_S, Service
from clusterlite.node.ids import timestamp
from clusterlite.replica.reader import Fate

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ROUTES: Final = ("GET", "POST", "GET /{id}", "PUT /{id}", "DELETE /{id}", "GET /-/schema")


class SystemRoutes:
    """The system's routes of one worker, as an ASGI application.

    Args:
        service: of the worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        page = _Page(directory=Path(str(files("clusterlite") / "ui")), html=True)
        self.router = Router(
            [
                Route("/", self.index),
                Route("/-/cluster", self.cluster),
                Route("/-/health/live", self.live),
                Route("/-/health/ready", self.ready),
                Route("/-/events/{id}", self.event),
                Route("/-/events/{id}/settle", self.settle, methods=["POST"]),
                Route("/-/openapi.json", self.openapi),
                Route("/-/ui", _to_page),
                Mount("/-/ui", page),
            ],
            redirect_slashes=False,
            default=_no_route,
        )

    async def index(self, request: Request) -> Response:
        """A browser goes to the page; others get the tables and their routes."""
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/-/ui/", status_code=303)
        service = self._service
        hello = service.link.hello
        tables = [
            {"name": name, "schema": f"/{name}/-/schema", "routes": _routes(name)}
            for name in service.served
        ]
        return JSONResponse(
            {
                "name": "ClusterLite",
                "version": clusterlite.__version__,
                "node": service.node_id if hello is None else hello.node,
                "cluster": service.cluster,
                "tables": tables,
                "system": [route.path for route in self.router.routes if isinstance(route, Route)],
            }
        )

    async def cluster(self, _: Request) -> Response:
        """The node's status."""
        return JSONResponse(await self._service.status())

    async def live(self, _: Request) -> Response:
        """This worker answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """Whether a balancer should send requests here."""
        status = await self._service.status()
        state = status["state"] if self._service.serving else "starting"
        known = {name: status.get(name) for name in ("position", "lag", "reason")}
        body = {"status": state, **known}
        if state == "ready":
            return JSONResponse(body)
        return JSONResponse(body, status_code=503, headers={"retry-after": "1"})

    async def event(self, request: Request) -> Response:
        """What became of an event, as far as this node has applied the log."""
        event_id = _event_id(request)
        own = messages.Request(request.scope, request.receive)
        asked = self._service.asked_position(own)
        fate = self._service.reader.fate(event_id)
        if fate.position < asked:
            await self._service.reach(asked)
            fate = self._service.reader.fate(event_id)
        return self._fate(event_id, fate)

    async def settle(self, request: Request) -> Response:
        """Close the event's id, unless the log has it already; then its outcome comes back."""
        event_id = _event_id(request)
        service = self._service
        own = messages.Request(request.scope, request.receive)
        service.cors.check_write(own)
        stamp = Stamp(event_id, timestamp(), service.cluster, service.node_id, service.after())
        answer = await service.link.submit(event_id, codec.encode(stamp, "FENCE"), WAIT_S)
        if isinstance(answer, Applied):
            return self._outcome(answer.outcome, answer.outcome.position)
        error = answer if isinstance(answer, ClusterLiteError) else None
        raise from_error(error or ClusterLiteError("the fence was not applied in time"), event_id)

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        return JSONResponse(openapi(self._service.served))

    def _fate(self, event_id: str, fate: Fate) -> Response:
        if fate.outcome is not None:
            return self._outcome(fate.outcome, fate.position)
        status = "unseen" if fate.remembers(event_id) else "forgotten"
        return self._with_token(
            {"id": event_id, "status": status, "looked_up_to": fate.position}, fate.position
        )

    def _outcome(self, outcome: Outcome, position: int) -> Response:
        return self._with_token(outcome.to_json(), position)

    def _with_token(self, body: dict[str, Any], position: int) -> Response:
        name, token = self._service.token_header(position)
        return JSONResponse(body, headers={name.decode(): token.decode()})


class _Page(StaticFiles):
    """The page's files, under a policy that lets in nothing from outside."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Starlette's, with the policy."""
        response = super().file_response(*args, **kwargs)
        response.headers["content-security-policy"] = _CSP
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        response.headers["cache-control"] = "no-cache"
        return response


def _routes(table: str) -> list[str]:
    routes: list[str] = []
    for route in _ROUTES:
        method, _, rest = route.partition(" ")
        routes.append(f"{method} /{table}{rest}")
    return routes


def _event_id(request: Request) -> str:
    event_id = str(request.path_params["id"])
    if not is_key(event_id):
        raise HttpError(400, "bad_event_id", "that is no id of an event")
    return event_id


async def _to_page(_: Request) -> Response:
    return RedirectResponse("/-/ui/", status_code=307)


async def _no_route(*_: Any) -> None:
    raise HttpError(404, "no_such_route", "no such route; / lists the routes")
