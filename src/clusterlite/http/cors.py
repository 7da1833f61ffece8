"""Who may call from a browser: CORS, and the guard of writes (api.md, "CORS").

Reading is open to every origin, as in the Go program. A write is refused where its `Origin` is
not the node's own, or its `Host` is no name of the node: while there is no authentication, any
page that somebody visits could otherwise write to a node on their machine. `--allow-origin`
opens it; `*` allows every origin and host, which is the Go program's behaviour.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from clusterlite.http.messages import Headers, Request
from clusterlite.http.problems import HttpError

METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, OPTIONS, QUERY"
EXPOSED: Final = (
    b"Link, ETag, Location, ClusterLite-Token, ClusterLite-Event, X-Total-Count, "
    b"Preference-Applied, Idempotency-Replayed, Retry-After"
)
_FOR_ALL: Final[Headers] = [(b"access-control-allow-origin", b"*")]
_FOR_BROWSERS: Final[Headers] = [
    *_FOR_ALL,
    (b"access-control-allow-methods", METHODS),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-expose-headers", EXPOSED),
]
PREFLIGHT: Final[Headers] = [*_FOR_BROWSERS, (b"access-control-max-age", b"600")]
_PASSED_MAX: Final = 1_000
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Cors:
    """The rules of one node.

    Args:
        host: that the node listens on.
        allowed: origins that may write, `*` for all.
    """

    def __init__(self, host: str, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._any = "*" in self._allowed
        self._passed: set[tuple[bytes | None, bytes | None]] = set()
        self._hosts = _LOOPBACK | {host.lower().strip("[]")}
        self._hosts |= {urlsplit(origin).hostname or "" for origin in self._allowed}
        self._wide = host in {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound

    def headers(self, request: Request) -> Headers:
        """Of any answer. Only a browser's request has an origin, and only it looks for more."""
        return _FOR_BROWSERS if b"origin" in request.headers else _FOR_ALL

    def check_write(self, request: Request) -> None:
        """Refuse a write from a foreign page.

        Raises:
            HttpError: 403 with the setting that would allow it.
        """
        if self._any:
            return
        headers = request.headers
        seen = headers.get(b"origin"), headers.get(b"host")
        if seen in self._passed:
            return
        self._check(request)
        if len(self._passed) < _PASSED_MAX:
            self._passed.add(seen)

    def _check(self, request: Request) -> None:
        origin = request.header(b"origin")
        host = (request.header(b"host") or "").lower()
        if origin is not None:
            origin = origin.lower()
            own = origin.partition("://")[2] == host and host != ""
            if not own and origin not in self._allowed:
                raise HttpError(
                    403,
                    "foreign_origin",
                    f"a page of {origin} may not write here; allow it with --allow-origin "
                    f"{origin if origin != 'null' else '*'}",
                )
        if host and not self._is_ours(_name(host)):
            raise HttpError(
                403,
                "foreign_host",
                f"{host} is no name of this node; allow it with --allow-origin http://{host}",
            )

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts:
            return True
        if not self._wide:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # a name could be rebound to this address, an address could not


def _name(host: str) -> str:
    """The name in a `Host` header, without the port; as it is where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or host
    except ValueError:
        return host
