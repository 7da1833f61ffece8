"""The routes of a table.

    GET    /{table}                list, by id, with `_limit` and `_cursor`
    POST   /{table}                create one (object) or many (array: one event, all or none)
    GET    /{table}/{id}           one row
    PUT    /{table}/{id}           create or replace
    PATCH  /{table}/{id}           change some fields
    DELETE /{table}/{id}           remove
    GET    /{table}/-/schema       JSON Schema

Reads take `_consistency` too. Every answer names the position of the very snapshot that it was
read in (I8).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Coroutine, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from clusterlite.http.consistency import PARAMETER, Need
from clusterlite.http.messages import JSON, Headers, Request, Response
from clusterlite.http.patches import Patches
from clusterlite.http.problems import HttpError
from clusterlite.http.service import Served, Service, encode_json
from clusterlite.http.writes import Write, Writes
from clusterlite.replica.reader import Found

LIMIT_DEFAULT: Final = 1_000
_CONTENT: Final = (b"content-type", JSON)
_CURSOR_BYTES_MAX: Final = 65_536
_ENCODED_AT_ONCE: Final = 8
_NONE: Final[dict[str, str]] = {}
_ROW_PARAMETERS: Final = frozenset({PARAMETER})
_LIST_PARAMETERS: Final = frozenset({"_limit", "_cursor", PARAMETER})


class _Listed(NamedTuple):
    """What a list is asked for."""

    served: Served
    after: str
    limit: int
    parameters: dict[str, str]


class EntityRoutes:
    """The routes of every table that a worker serves.

    Args:
        service: of the worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._writes = Writes(service)
        self._patches = Patches(service, self._writes)

    def handle(self, request: Request) -> Response | Write | Coroutine[Any, Any, Response]:
        """Answer a request whose path begins with a table.

        Returns:
            The answer where nothing is waited for; a write that is to be sent; or what waits.

        Raises:
            HttpError, ClusterLiteError: mapped by the application.
        """
        path = request.path
        served = self._service.table(path[0])
        if len(path) == 2 and path[1] != "-":
            return self._row(request, served, path[1])
        if len(path) == 1:
            return self._collection(request, served)
        if path[1:] == ["-", "schema"]:
            _allow(request, "GET", "HEAD")
            _refuse_parameters(request, frozenset())
            headers = [(b"content-type", b"application/schema+json")]
            return Response(200, headers, encode_json(served.entity.model_json_schema()))
        raise HttpError(404, "no_such_route", "no such route; / lists the routes")

    def _collection(
        self, request: Request, served: Served
    ) -> Response | Write | Coroutine[Any, Any, Response]:
        if request.method in {"GET", "HEAD"}:
            return self._list(request, served)
        _allow(request, "GET", "HEAD", "POST")
        self._check_write(request)
        return self._writes.create(request, served)

    def _row(
        self, request: Request, served: Served, key: str
    ) -> Response | Write | Coroutine[Any, Any, Response]:
        method = request.method
        if method in {"GET", "HEAD"}:
            return self._get(request, served, key)
        _allow(request, "GET", "HEAD", "PUT", "PATCH", "DELETE")
        self._check_write(request)
        if method == "PUT":
            return self._writes.put(request, served, key)
        if method == "PATCH":
            return self._patches.patch(request, served, key)
        return self._writes.delete(request, served, key)

    def _check_write(self, request: Request) -> None:
        self._service.cors.check_write(request)
        if request.raw_query:
            _refuse_parameters(request, frozenset())

    def _get(
        self, request: Request, served: Served, key: str
    ) -> Response | Coroutine[Any, Any, Response]:
        service = self._service
        parameters = _NONE
        if request.raw_query:
            parameters = _refuse_parameters(request, _ROW_PARAMETERS)
        found = service.snapshot().get(served.selection, key)
        need = service.levels.need(request, parameters, found.position)
        if need is not None:
            return self._get_later(request, served, key, need)
        return self._found(request, served, key, found)

    async def _get_later(self, request: Request, served: Served, key: str, need: Need) -> Response:
        reached = await self._service.levels.reach(need)
        found = self._service.snapshot().get(served.selection, key)
        reached.check(found.position)
        return self._found(request, served, key, found)

    def _found(self, request: Request, served: Served, key: str, found: Found) -> Response:
        position, version, row = found
        token = self._service.token_header(position)
        if version is None:
            raise HttpError(404, "not_found", f"no row {key!r} in {served.name}", headers=(token,))
        etag = b'"%d"' % version
        if b"if-none-match" in request.headers and _matches(request, etag):
            return Response(304, [token, (b"etag", etag)])
        headers = [token, (b"etag", etag), _CONTENT]
        return Response(200, headers, encode_json(served.shown(row)))

    def _list(self, request: Request, served: Served) -> Response | Coroutine[Any, Any, Response]:
        service = self._service
        parameters = _refuse_parameters(request, _LIST_PARAMETERS)
        limit = _limit(parameters.get("_limit"), service.limits.rows)
        after = _read_cursor(parameters.get("_cursor"))
        position, written = service.snapshot().written(served.selection)
        need = service.levels.need(request, parameters, position)
        listed = _Listed(served, after, limit, parameters)
        if need is not None:
            return self._list_later(request, listed, need)
        return self._page(request, listed, position, written)

    async def _list_later(self, request: Request, listed: _Listed, need: Need) -> Response:
        reached = await self._service.levels.reach(need)
        position, written = self._service.snapshot().written(listed.served.selection)
        reached.check(position)
        return self._page(request, listed, position, written)

    def _page(self, request: Request, listed: _Listed, position: int, written: int) -> Response:
        """The rows, in the snapshot that told `position` and `written`."""
        service = self._service
        served, after, limit, parameters = listed
        query = request.raw_query
        if PARAMETER in parameters:  # the level changes nothing about a state's rows
            query = urlencode({k: v for k, v in parameters.items() if k != PARAMETER}).encode()
        mark = blake2b(query, digest_size=6).hexdigest() if query else "0"
        etag = f'"{written}-{mark}"'.encode()
        headers: Headers = [service.token_header(position), (b"etag", etag)]
        if _matches(request, etag):
            return Response(304, headers)
        with service.snapshot().rows(served.selection, after, limit + 1) as rows:
            body, last = _encoded(served, rows, limit, service.limits.list_bytes)
            more = next(rows, None) is not None
        if more:
            headers.append((b"link", _next_link(listed, last)))
        headers.append(_CONTENT)
        return Response(200, headers, body)


def _encoded(
    served: Served, rows: Iterator[tuple[Any, ...]], limit: int, bytes_max: int
) -> tuple[bytes, str]:
    """As many rows as fit, and the id of the last; a few at a time, so that few are in memory."""
    parts: list[bytes] = []
    size, last = 0, ""
    while size < bytes_max and (few := list(islice(rows, min(_ENCODED_AT_ONCE, limit)))):
        limit -= len(few)
        last = few[-1][0]
        parts.append(encode_json([served.shown(row) for row in few])[1:-1])
        size += len(parts[-1])
    return b"[%b]" % b",".join(parts), last


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allowed = ", ".join([*methods, "OPTIONS"]).encode()
        raise HttpError(
            405,
            "method_not_allowed",
            f"{request.method} is not possible here; possible are {allowed.decode()}",
            headers=((b"allow", allowed),),
        )


def _refuse_parameters(request: Request, known: frozenset[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in request.query():
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise HttpError(
                400, "unknown_parameter", f"no parameter {name!r} here; known are: {listed}"
            )
        if name in parameters:
            raise HttpError(400, "repeated_parameter", f"{name} stands twice")
        parameters[name] = value
    return parameters


def _limit(text: str | None, most: int) -> int:
    if text is None:
        return min(LIMIT_DEFAULT, most)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= most:
        raise HttpError(400, "bad_limit", f"_limit must be a whole number from 1 to {most}")
    return int(text)


def _read_cursor(text: str | None) -> str:
    if text is None:
        return ""
    try:
        if len(text) > _CURSOR_BYTES_MAX:
            raise ValueError
        return base64.b64decode(text.encode("ascii"), b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise HttpError(
            400, "bad_cursor", "_cursor must be as the Link header of a page gave it"
        ) from None


def _next_link(listed: _Listed, last: str) -> bytes:
    cursor = base64.urlsafe_b64encode(last.encode()).decode()
    query = {"_limit": str(listed.limit), "_cursor": cursor}
    if PARAMETER in listed.parameters:
        query[PARAMETER] = listed.parameters[PARAMETER]
    return f'</{listed.served.name}?{urlencode(query)}>; rel="next"'.encode()


def _matches(request: Request, etag: bytes) -> bool:
    header = request.headers.get(b"if-none-match")
    if header is None:
        return False
    candidates = [part.strip().removeprefix(b"W/") for part in header.split(b",")]
    return etag in candidates or b"*" in candidates
