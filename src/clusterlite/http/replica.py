"""What this node's replica holds, for another to compare: hashes, and no row's values.

GET  /-/replica                 position, running hash, settings, tables
GET  /-/replica/marks           running hashes at marks, newest first
GET  /-/replica/outcomes        hashes of outcomes, by position
GET  /-/replica/rows/{table}    versions and hashes of rows, by id

Each answer is of one snapshot, bounded, and names the position of that snapshot. They need no node
process, so a halted node answers them too.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from clusterlite.http.problems import HttpError
from clusterlite.http.service import Service, encode_json
from clusterlite.replica.pages import ITEMS_MAX, FilePages

PATH: Final = "/-/replica"
FROM: Final = "_from"
LIMIT: Final = "_limit"
UPTO: Final = "_upto"
PAGED: Final = (FROM, LIMIT)
_ITEMS: Final = 1_000
_POSITION_MAX: Final = (1 << 63) - 1


class ReplicaRoutes:
    """These routes of one worker.

    Args:
        service: of the worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def _pages(self) -> FilePages:
        return FilePages(self._service.reader)

    async def here(self, _: Request) -> Response:
        """Where the replica stands."""
        return _json(self._pages.here())

    async def marks(self, request: Request) -> Response:
        """The running hash at marks."""
        upto = _position(request, UPTO, _POSITION_MAX)
        found = self._pages.marks(upto, _limit(request))
        return _json({"marks": found})

    async def outcomes(self, request: Request) -> Response:
        """What became of events, as hashes."""
        start = _position(request, FROM, 0)
        return _json(self._pages.outcomes(start, _limit(request)))

    async def rows(self, request: Request) -> Response:
        """A table's rows, as versions and hashes."""
        table = str(request.path_params["table"])
        start = request.query_params.get(FROM, "")
        page = self._pages.rows(table, start, _limit(request))
        if page is None:
            raise HttpError(404, "no_such_table", "this node's replica has no such table")
        return _json(page)


def _json(body: object) -> Response:
    return Response(encode_json(body), media_type="application/json")


def _limit(request: Request) -> int:
    text = request.query_params.get(LIMIT)
    if text is None:
        return _ITEMS
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= ITEMS_MAX):
        raise HttpError(400, "bad_limit", f"{LIMIT} must be a whole number from 1 to {ITEMS_MAX}")
    return int(text)


def _position(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _POSITION_MAX):
        raise HttpError(400, "bad_start", f"{name} must be a position: a whole number from 0")
    return int(text)
