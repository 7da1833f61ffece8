"""The routes of the system: everything under `/-/`, and `/`.

GET  /                          a browser goes to the page, others get an index
GET  /-/cluster                 the node's status
GET  /-/health/live, ready      for supervisors and balancers
GET  /-/events/{id}             what became of an event
POST /-/events/{id}/settle      make an unknown outcome definite
POST /-/transaction             many changes of any tables in one event, all or none
GET  /-/replica and below       hashes of what the replica holds: see `replica`
GET  /-/openapi.json            the interface
GET  /-/docs/problems           what the codes of errors mean
GET  /-/ui/                     the page
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

import clusterlite
from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.names import is_key
from clusterlite.core.outcome import Applied, Outcome
from clusterlite.core.tries import contended, fate, is_lost, is_open, later_ids
from clusterlite.errors import ClusterLiteError
from clusterlite.http import codes, messages, replica, transactions
from clusterlite.http.consistency import PARAMETER
from clusterlite.http.openapi import openapi
from clusterlite.http.problems import HttpError, did_you_mean, from_error
from clusterlite.http.service import WAIT_S, Service
from clusterlite.http.writes import Write
from clusterlite.node.ids import timestamp
from clusterlite.replica.reader import Fate

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_ROUTES: Final = (
    "GET",
    "POST",
    "GET /{id}",
    "PUT /{id}",
    "PATCH /{id}",
    "DELETE /{id}",
    "GET /-/schema",
)


class SystemRoutes:
    """The system's routes of one worker, as an ASGI application.

    Args:
        service: of the worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transactions = transactions.Transactions(service)
        held = replica.ReplicaRoutes(service)
        page = _Page(directory=Path(str(files("clusterlite") / "ui")), html=True)
        self.router = Router(
            [
                _route("/", self.index),
                _route("/-/cluster", self.cluster),
                _route("/-/health/live", self.live),
                _route("/-/health/ready", self.ready),
                _route("/-/events/{id}", self.event, known=(PARAMETER,)),
                _route("/-/events/{id}/settle", self.settle, "POST"),
                _route(transactions.PATH, self.transaction, "POST"),
                _route("/-/openapi.json", self.openapi),
                _route(replica.PATH, held.here),
                _route(f"{replica.PATH}/marks", held.marks, known=(replica.UPTO, replica.LIMIT)),
                _route(f"{replica.PATH}/outcomes", held.outcomes, known=replica.PAGED),
                _route(f"{replica.PATH}/rows/{{table}}", held.rows, known=replica.PAGED),
                _route(codes.PATH, self.problems),
                _route("/-/ui", _to_page),
                Mount("/-/ui", page),
            ],
            redirect_slashes=False,
            default=self._no_route,
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
                "system": self._paths(),
            }
        )

    async def cluster(self, _: Request) -> Response:
        """The node's status."""
        status = await self._service.status()
        return self._with_token(status, status["position"])

    async def live(self, _: Request) -> Response:
        """This worker answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """Whether a balancer should send requests here."""
        status = await self._service.status()
        found = status["state"]
        state = found if found != "ready" or self._service.serving else "starting"
        known = {name: status.get(name) for name in ("position", "lag", "reason")}
        body = {"status": state, **known}
        response = self._with_token(body, status["position"])
        if state != "ready":
            response.status_code = 503
            response.headers["retry-after"] = "1"
        return response

    async def event(self, request: Request) -> Response:
        """What became of an event, as far as this node has applied the log."""
        event_id = _event_id(request)
        own = messages.Request.of_scope(request.scope)
        levels = self._service.levels
        found = self._service.reader.fate(event_id)
        need = levels.need(own, request.query_params, found.position)
        if need is not None:
            reached = await levels.reach(need)
            found = self._service.reader.fate(event_id)
            reached.check(found.position)
        return self._fate(event_id, found)

    async def settle(self, request: Request) -> Response:
        """Close the event's id, unless the log has it already; then its outcome comes back."""
        event_id = _event_id(request)
        if event_id.startswith("@"):
            why = "an event without an id stands at that position, or none will: GET tells which"
            raise HttpError(400, "bad_event_id", why)
        service = self._service
        own = messages.Request.of_scope(request.scope)
        service.cors.check_write(own)
        outcome = await self._closed(event_id, event_id)
        if is_open(outcome):
            for used in later_ids(event_id):
                outcome = await self._closed(used, event_id)
                if not is_lost(outcome):
                    break
            else:
                outcome = contended(outcome, event_id)
        return self._outcome(outcome, outcome.position)

    async def _closed(self, used: str, event_id: str) -> Outcome:
        """The outcome of one id, which is `never` where the log did not have it.

        Raises:
            HttpError: it is not known yet; it names the event that was asked for.
        """
        service = self._service
        stamp = Stamp(used, timestamp(), service.cluster, service.node_id, service.after())
        answer = await service.link.decide(used, codec.encode(stamp, "FENCE"), WAIT_S)
        if isinstance(answer, Applied):
            return answer.outcome
        error = answer if isinstance(answer, ClusterLiteError) else None
        error = error or ClusterLiteError("the fence was not applied in time")
        raise from_error(error, event_id, denied="the event's id was not closed")

    async def transaction(self, request: Request) -> Response:
        """Many changes in one event, all or none."""
        body = await messages.read_body(request.receive, self._service.limits.body_bytes)
        own = messages.Request.of_scope(request.scope, body)
        own.path = messages.split_path(own.raw_path)
        answer = self._transactions.begin(own)
        if isinstance(answer, Write):
            answer = answer.response(await answer.decided())
        response = Response(answer.body, answer.status)
        response.raw_headers.extend(answer.headers)
        return response

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        return JSONResponse(openapi(self._service.served))

    async def problems(self, _: Request) -> Response:
        """The page to which the `type` of every problem document leads."""
        return HTMLResponse(codes.page(), headers=_PAGE_HEADERS)

    def _fate(self, event_id: str, found: Fate) -> Response:
        outcome = found.outcome
        if outcome is not None and is_open(outcome):
            outcome = fate(event_id, lambda used: self._service.reader.fate(used).outcome)
        if outcome is not None:
            return self._outcome(outcome, max(found.position, outcome.position))
        remembered = found.outcome is not None or found.remembers(event_id)
        status = "unseen" if remembered else "forgotten"
        return self._with_token(
            {"id": event_id, "status": status, "looked_up_to": found.position}, found.position
        )

    def _outcome(self, outcome: Outcome, position: int) -> Response:
        return self._with_token(outcome.to_json(), position)

    def _with_token(self, body: dict[str, Any], position: int) -> Response:
        """An answer from the state at a position; without a token where there is none yet."""
        response = JSONResponse(body)
        if self._service.cluster and position >= 0:
            response.raw_headers.append(self._service.token_header(position))
        return response

    def _paths(self) -> list[str]:
        return [route.path for route in self.router.routes if isinstance(route, Route)]

    async def _no_route(self, scope: messages.Scope, *_: Any) -> None:
        known = [*self._paths(), *(f"/{name}" for name in self._service.served)]
        meant = did_you_mean(scope["path"], known)
        raise HttpError(404, "no_such_route", f"no such route{meant}; / lists the routes")


def _route(
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    method: str = "GET",
    known: tuple[str, ...] = (),
) -> Route:
    """A route that takes these query parameters, each once, and passes no other over."""

    async def answer(request: Request) -> Response:
        parameters = request.query_params
        for name in parameters:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise HttpError(
                    400, "unknown_parameter", f"no parameter {name!r} here; known are: {listed}"
                )
            if len(parameters.getlist(name)) > 1:
                raise HttpError(400, "repeated_parameter", f"{name} stands twice")
        return await endpoint(request)

    return Route(path, answer, methods=[method])


class _Page(StaticFiles):
    """The page's files, under a policy that lets in nothing from outside."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Starlette's, with the policy."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(_PAGE_HEADERS)
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
