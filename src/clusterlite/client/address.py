"""One node's address: a request, and its answer or none."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from clusterlite.core.token import Token
from clusterlite.errors import ConfigError

PROBLEMS: Final = "/-/docs/problems"
"""What the `type` of every node's error leads to: other services have a `code` too."""


class Answer(NamedTuple):
    """What came back for one request, from a node or from a proxy before it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body's JSON value; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def problem(self) -> dict[str, Any]:
        """The document of a node's error; empty where a proxy answered by itself."""
        document = self.document if self.status >= 400 else {}
        if not isinstance(document, dict) or "code" not in document:
            return {}
        return document if document.get("type") == f"{PROBLEMS}#{document['code']}" else {}

    @property
    def token(self) -> Token | None:
        """The state that a node answered from; in each answer of a node but its errors."""
        return Token.parse(self.headers.get("clusterlite-token", ""))

    @property
    def is_of_node(self) -> bool:
        """Whether a node answered: no proxy before it, and nobody else at its address."""
        return self.token is not None or bool(self.problem)

    @property
    def is_open(self) -> bool:
        """Whether it decides nothing: another node, or a later try, may answer otherwise."""
        return self.status == 202 or self.status >= 500 or not self.is_of_node

    @property
    def why(self) -> str:
        """What it says, where it decides nothing."""
        if self.problem:
            return str(self.problem.get("detail", self.status))
        if self.token is None and isinstance(self.document, dict) and "state" in self.document:
            return f"{self.status}, the node has found no log yet: {self.document['state']}"
        return f"{self.status}" + ("" if self.is_of_node else ", which is no node's answer")


class Lost(Exception):
    """No answer came: `sent` tells whether the request may have arrived."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Address:
    """One node's address, with the connections that are free.

    Args:
        url: of the node; http where it names no scheme.

    Raises:
        ConfigError: it is no address.
    """

    def __init__(self, url: str) -> None:
        wrong = f"{url!r} is no address of a node, as http://node-1:8082"
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{wrong}: {error}") from error
        if "@" in parts.netloc:  # the address stays out of the message: it has a password
            raise ConfigError(
                f"the address of {parts.hostname} names a user, and a node asks for none: "
                "leave out what stands before the @"
            )
        is_more = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or is_more:
            raise ConfigError(wrong)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else None
        self._kind = kind or http.client.HTTPConnection
        self._host, self._port = parts.hostname, port
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._free: list[http.client.HTTPConnection] = []

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], wait_s: float
    ) -> Answer:
        """One request and its answer.

        Raises:
            Lost: there is none.
        """
        try:
            connection = self._free.pop()
        except IndexError:  # all are in use by other threads
            connection = self._kind(self._host, self._port)
        connection.timeout = wait_s
        sent = False
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(wait_s)
            sent = True
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            found = Answer(answer.status, names, answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Lost(f"{self.url}: {error or type(error).__name__}", sent=sent) from error
        self._free.append(connection)
        return found

    def close(self) -> None:
        """Close the connections that are free."""
        while self._free:
            self._free.pop().close()
