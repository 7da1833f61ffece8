"""Requests and answers of the hot routes, as plain ASGI: no object that is not needed.

Starlette's Request and Response cost half the throughput here, so the routes of tables use
these few functions; the routes of the system use Starlette.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.fields import DOCUMENT_DEPTH_MAX, Json
from clusterlite.core.token import Token
from clusterlite.errors import InputError, Problem
from clusterlite.http.problems import HttpError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: Final = b"application/json"
TOKEN_HEADER: Final = b"clusterlite-token"
TOKEN_COOKIE: Final = "clusterlite_token"  # noqa: S105 - a name
WAIT_S_MAX: Final = 60.0
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9-]+")


class Request:
    """One request.

    Args:
        scope: ASGI's.
        receive: ASGI's.
    """

    __slots__ = ("_headers", "_receive", "path", "scope")

    path: list[str]
    """Percent-decoded segments, without the leading empty one (`split_path`)."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self._headers: dict[bytes, bytes] | None = None

    @property
    def method(self) -> str:
        """In upper case."""
        return str(self.scope["method"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        """By lower-case name; of a repeated one the last, but cookies are joined."""
        if self._headers is None:
            listed = self.scope["headers"]
            headers: dict[bytes, bytes] = dict(listed)
            if len(headers) != len(listed) and b"cookie" in headers:
                cookies = [value for name, value in listed if name == b"cookie"]
                headers[b"cookie"] = b"; ".join(cookies)
            self._headers = headers
        return self._headers

    def header(self, name: bytes) -> str | None:
        """A header as text, None where it is absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in order.

        Raises:
            HttpError: it is not UTF-8.
        """
        raw: bytes = self.scope["query_string"]
        if not raw:
            return []
        try:
            return parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
            )
        except ValueError:
            raise HttpError(400, "bad_query", "the query is not percent-encoded UTF-8") from None

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            HttpError: it is over `limit` bytes, or stops half-way.
        """
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "incomplete", "the body ended before it was complete")
        chunk: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(chunk) > limit:
                raise _too_large(limit)
            return chunk
        parts, size = [chunk], len(chunk)
        while message.get("more_body", False):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise HttpError(400, "incomplete", "the body ended before it was complete")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        return b"".join(parts)

    async def json(self, limit: int) -> tuple[bytes, Json]:
        """The body's bytes and its JSON value.

        Raises:
            HttpError: 413, 415.
            InputError: it is not JSON as the rules accept it.
        """
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != JSON and not kind.endswith(b"+json"):
            raise HttpError(
                415,
                "content_type",
                f"send JSON with 'Content-Type: application/json'"
                f" (this was {kind.decode('latin-1') or 'none'}); with curl: "
                "-H 'Content-Type: application/json'",
                headers=((b"accept", JSON),),
            )
        raw = await self.body(limit)
        try:
            return raw, read_json(raw, DOCUMENT_DEPTH_MAX)
        except Unreadable as error:
            raise InputError([Problem("", "malformed", str(error))], malformed=True) from None

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


def _too_large(limit: int) -> HttpError:
    return HttpError(413, "too_large", f"the body is over the limit of {limit} bytes")


def split_path(raw: bytes) -> list[str]:
    """The segments of a raw path, each percent-decoded by itself, so that ids may hold slashes.

    Raises:
        HttpError: a segment is not UTF-8.
    """
    try:
        if b"%" not in raw:
            return raw.decode("ascii").split("/")[1:]
        return [unquote_to_bytes(segment).decode() for segment in raw.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise HttpError(400, "bad_path", "the path is not percent-encoded UTF-8") from None


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


NO_PREFERENCE: Final = Prefer(None)
"""Of a request without the header; never changed."""


class Response(NamedTuple):
    """A whole answer; its length is added when it is sent."""

    status: int
    headers: Headers
    body: bytes = b""


async def respond(send: Send, response: Response) -> None:
    """Send an answer."""
    status, headers, body = response
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
