"""Requests and answers of the routes of tables: no object that is not needed.

Starlette's Request and Response cost half the throughput here, so the routes of tables use
these; the routes of the system use Starlette.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple, Self
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.fields import DOCUMENT_DEPTH_MAX, Json
from clusterlite.core.token import Token
from clusterlite.errors import InputError, Overloaded, Problem
from clusterlite.http import bodies
from clusterlite.http.problems import HttpError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: Final = bodies.JSON
TOKEN_HEADER: Final = b"clusterlite-token"
TOKEN_COOKIE: Final = "clusterlite_token"  # noqa: S105 - a name
WAIT_S_MAX: Final = 60.0
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9-]+")


class Request:
    """One request, whole.

    Args:
        method: in upper case.
        raw_path: as it came, percent-encoded, without the query.
        raw_query: what stands behind the question mark.
        listed: the headers in order, names in lower case.
        body: its bytes.

    Attributes:
        headers: by lower-case name; of a repeated one the last, but cookies are joined.
        path: percent-decoded segments, without the leading empty one (`split_path`).
    """

    __slots__ = ("body", "headers", "method", "path", "raw_path", "raw_query")

    path: list[str]

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        listed: list[tuple[bytes, bytes]],
        body: bytes = b"",
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.body = body
        headers = self.headers = dict(listed)
        if len(headers) != len(listed) and b"cookie" in headers:
            cookies = [value for name, value in listed if name == b"cookie"]
            headers[b"cookie"] = b"; ".join(cookies)

    @classmethod
    def of_scope(cls, scope: Scope, body: bytes = b"") -> Self:
        """A request as ASGI tells it."""
        return cls(
            scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body
        )

    def header(self, name: bytes) -> str | None:
        """A header as text, None where it is absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in order.

        Raises:
            HttpError: it is not UTF-8.
        """
        raw = self.raw_query
        if not raw:
            return []
        try:
            return parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
            )
        except ValueError:
            raise HttpError(400, "bad_query", "the query is not percent-encoded UTF-8") from None

    def json(self) -> Json:
        """The body's JSON value.

        Raises:
            HttpError: 415.
            InputError: it is not JSON as the rules accept it.
        """
        headers = self.headers
        if headers.get(b"content-type") != JSON or b"content-encoding" in headers:
            bodies.check_content_type(self.method, self.raw_path, headers)
        try:
            return read_json(self.body, DOCUMENT_DEPTH_MAX)
        except Unreadable as error:
            reason = bodies.explain(self.body, str(error))
            raise InputError([Problem("", "malformed", reason)], malformed=True) from None

    def token(self) -> tuple[Token | None, bool]:
        """The token, and whether it came as a cookie.

        Raises:
            HttpError: the header is no token.
        """
        text = self.header(TOKEN_HEADER)
        if text is not None:
            token = Token.parse(text)
            if token is None:
                raise HttpError(
                    400, "bad_token", "ClusterLite-Token is <cluster id>:<position>, as given"
                )
            return token, False
        if b"cookie" not in self.headers:
            return None, False
        for part in (self.header(b"cookie") or "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == TOKEN_COOKIE:
                return Token.parse(value.strip('"')), True
        return None, False


class Bodies:
    """The bytes of the bodies that a worker holds, from their arrival until they are answered.

    Args:
        bytes_max: the most of them.
    """

    __slots__ = ("_bytes_max", "bytes")

    def __init__(self, bytes_max: int) -> None:
        self.bytes = 0
        self._bytes_max = bytes_max

    def take(self, size: int) -> None:
        """Hold some more.

        Raises:
            Overloaded: they would be too many; these are not held.
        """
        if self.bytes + size > self._bytes_max:
            raise Overloaded(f"this worker holds {self.bytes} bytes of requests already")
        self.bytes += size

    def give_back(self, size: int) -> None:
        """Hold these no more."""
        self.bytes -= size


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body of an ASGI request.

    Raises:
        HttpError: it is over `limit` bytes, or stops half-way.
    """
    parts: list[bytes] = []
    more, size = True, 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "incomplete", "the body ended before it was complete")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def too_large(limit: int) -> HttpError:
    """The answer to a body of more than `limit` bytes."""
    return HttpError(
        413, "too_large", f"the body is over the limit of {limit} bytes; send fewer rows at a time"
    )


def split_path(raw: bytes) -> list[str]:
    """The segments of a raw path, each percent-decoded by itself, so that ids may hold slashes.

    Raises:
        HttpError: it does not begin with a slash, a segment is not UTF-8, or the path of a table or
            row ends in a slash.
    """
    if raw[:1] != b"/":
        raise HttpError(400, "bad_path", "a path begins with /; `*` and others are none")
    try:
        if b"%" not in raw:
            segments = raw.decode("ascii").split("/")[1:]
        else:
            segments = [unquote_to_bytes(segment).decode() for segment in raw.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise HttpError(400, "bad_path", "the path is not percent-encoded UTF-8") from None
    if raw[-1:] == b"/" and segments[0] not in {"", "-"}:
        meant = raw.rstrip(b"/").decode("ascii", "backslashreplace")
        raise HttpError(404, "no_such_route", f"the path ends in a slash; did you mean {meant}?")
    return segments


def row_path(table: str, key: str) -> bytes:
    """The path of a row."""
    plain = _PLAIN_KEY.fullmatch(key) is not None  # as most are; `quote` takes longer to see it
    return f"/{table}/{key if plain else quote(key, safe='')}".encode()


class Prefer:
    """The preferences of RFC 7240 that are known here.

    Args:
        text: the header, None where it is absent.
    """

    __slots__ = ("applied", "minimal", "respond_async", "wait_s", "whole")

    def __init__(self, text: str | None) -> None:
        self.respond_async = False
        self.minimal = False
        self.whole = False
        self.wait_s: float | None = None
        self.applied: list[str] = []
        for part in (text or "").split(","):
            name, _, value = part.strip().lower().partition("=")
            if name == "respond-async":
                self.respond_async = True
                self.applied.append("respond-async")
            elif name == "return" and value == "minimal":
                self.minimal = True
                self.applied.append("return=minimal")
            elif name == "return" and value == "representation":
                self.whole = True  # told as applied where there still is a representation
            elif name == "wait" and value.isascii() and value.isdigit():
                self.wait_s = min(float(value), WAIT_S_MAX)
                self.applied.append(f"wait={int(self.wait_s)}")

    def wait_for_outcome(self) -> None:
        """Do not honour `respond-async`: the outcome decides how the write goes on."""
        if self.respond_async:
            self.respond_async = False
            self.applied.remove("respond-async")


NO_PREFERENCE: Final = Prefer(None)
"""Of a request without the header; never changed."""


class Response(NamedTuple):
    """A whole answer; `send_response` and the protocol add its length."""

    status: int
    headers: Headers
    body: bytes = b""


NO_LENGTH: Final = frozenset({204, 304})
"""Statuses whose answers have no body, and so no length (RFC 9110, 8.6)."""


async def send_response(send: Send, response: Response) -> None:
    """Send an answer by ASGI."""
    status, headers, body = response
    if status not in NO_LENGTH:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
