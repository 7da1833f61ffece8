"""What the routes of one worker share: the link, the replica, the entities, the settings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from clusterlite.core.entity import Entity
from clusterlite.core.fields import Json, Stored
from clusterlite.core.names import fold
from clusterlite.core.operations import DeclaredOperations, TableOperations
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import ConfigError, NotServing
from clusterlite.http.consistency import Levels
from clusterlite.http.cors import Cors
from clusterlite.http.link import LinkClient
from clusterlite.http.messages import TOKEN_COOKIE, TOKEN_HEADER
from clusterlite.http.problems import HttpError, did_you_mean
from clusterlite.node import frames
from clusterlite.replica.reader import Reader, Selection, holds, known_schema

WAIT_S: Final = 10.0
SEEN_S: Final = 5.0
_PLAIN: Final = frozenset({"text", "integer", "real", "timestamp", "date", "uuid"})

_COOKIE: Final = TOKEN_COOKIE.encode() + b"=%s; Path=/; SameSite=Lax"

encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Limits:
    """Bounds of one worker (I14).

    Args:
        body_bytes: of a request.
        rows: of a list.
        list_bytes: of a list's rows, after which it ends early and names its next page.
        bodies_bytes: of the bodies of all requests that are being read or answered.
        unread_bytes: of all answers that their clients have not taken; looked at each second.
    """

    body_bytes: int = 1024 * 1024
    rows: int = 10_000
    list_bytes: int = 16 * 1024 * 1024
    bodies_bytes: int = 64 * 1024 * 1024
    unread_bytes: int = 256 * 1024 * 1024


class Served:
    """An entity as this worker serves it.

    Args:
        operations: of the entity.
    """

    def __init__(self, operations: TableOperations) -> None:
        if not isinstance(operations, DeclaredOperations):
            raise ConfigError(
                f"table {operations.table_name}: HTTP serves declared entities and what "
                "extends DeclaredOperations; use this one with Node"
            )
        self.operations = operations
        self.entity: type[Entity] = operations.entity
        self.name = operations.table_name
        self.columns = self.entity.declaration.columns
        self.names = [column.name for column in self.columns]
        self.selection = Selection(self.name, self.names)
        self.ready = False
        """Whether the replica has the table as declared here; then it is served."""
        self.schema = -1
        self._keys = ("id", *self.names)
        self._plain = all(column.type in _PLAIN for column in self.columns)

    def shown(self, row: Sequence[Stored]) -> dict[str, Json]:
        """A row as JSON, from its id and its stored values in the order of the columns."""
        if self._plain:
            return dict(zip(self._keys, row, strict=True))
        shown: dict[str, Json] = {"id": row[0]}
        for column, value in zip(self.columns, row[1:], strict=True):
            shown[column.name] = column.shown(value)
        return shown

    def shown_image(self, key: str, fields: dict[str, Stored]) -> dict[str, Json]:
        """A row as JSON from its image."""
        return self.shown([key, *map(fields.get, self.names)])


@dataclass
class Service:
    """One worker's parts.

    Args:
        registry: the entities.
        socket: of the node process.
        cors: who may call from a browser.
        limits: of requests and answers.
        node_id: for events; people read it.
    """

    registry: EntityRegistry
    socket: Path
    cors: Cors
    limits: Limits = field(default_factory=Limits)
    node_id: str = ""

    def __post_init__(self) -> None:
        self.link = LinkClient(self.socket, self._greeted)
        self.levels = Levels(self.link)
        self.served = {operations.table_name: Served(operations) for operations in self.registry}
        self.serving = False
        """Whether the node has caught up and declared all its entities."""
        self.cluster = ""
        """The cluster id, empty before it is known."""
        self.seen = -1
        """The highest position that this worker knows the node to have reached."""
        self._token = b":%d"
        self._looked_at = 0.0
        self._incarnation = ""
        self._reader: Reader | None = None
        self._serves = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, wait_s: float) -> None:
        """Connect to the node process, and wait until it serves its tables, but not for long.

        Args:
            wait_s: the longest wait, in seconds.
        """
        self._loop = asyncio.get_running_loop()
        await self.link.open()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._serves.wait(), wait_s)

    def stop_waiting(self) -> None:
        """End the wait of `open`, also of one to come; from any thread, or a signal's handler."""
        if self._loop is None:
            self._serves.set()
        else:
            self._loop.call_soon_threadsafe(self._serves.set)

    @property
    def reader(self) -> Reader:
        """The replica.

        Raises:
            NotServing: it is not there yet.
        """
        if self._reader is None:
            raise NotServing("the node has not opened its replica yet")
        return self._reader

    def snapshot(self) -> Reader:
        """The replica, in the one snapshot that all reads of this tick of the loop share.

        What is waited for with `await` is seen by the read that follows: the tick is another.

        Raises:
            NotServing: it is not there yet.
        """
        reader = self.reader
        if not reader.holding:
            reader.hold()
            asyncio.get_running_loop().call_soon(reader.release)
        return reader

    def saw(self, position: int) -> None:
        """The node has reached this position."""
        self.seen = max(self.seen, position)

    def after(self) -> int:
        """The replica's position for a new event; of a few seconds ago at most.

        An older one would in time fall below the window, and the event be rejected as expired.
        """
        now = time.monotonic()
        if now - self._looked_at > SEEN_S and self._reader is not None:
            self._looked_at = now
            self.saw(self._reader.position())
        return self.seen

    def close(self) -> None:
        """Let go of the replica."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _greeted(self, hello: frames.Hello) -> None:
        path = Path(hello.replica)
        anew = self._incarnation != hello.incarnation
        self.levels.greeted(hello.cluster, anew=anew)
        if self._reader is None or anew:
            self.close()  # the file may be another one under the same name
            self._reader = Reader(path)
            self._incarnation = hello.incarnation
        self._reader.release()
        if self.cluster != hello.cluster:
            self.seen = -1
        self.cluster = hello.cluster
        self._token = hello.cluster.encode().replace(b"%", b"%%") + b":%d"
        self.saw(hello.position)
        tables = self._reader.tables()
        for served in self.served.values():
            table = tables.get(served.selection.folded)
            served.ready = False
            if holds(table, served.names):
                served.ready = True
                served.schema = known_schema(table, served.names)
        self.serving = hello.serving
        if hello.serving:
            self._serves.set()

    def table(self, name: str) -> Served:
        """A served table.

        Raises:
            HttpError: 404 where there is none.
            NotServing: its declaration is not applied yet.
        """
        served = self.served.get(name)
        if served is None:
            raise HttpError(
                404,
                "no_such_table",
                f"no table {name!r}{did_you_mean(name, self.served)}; "
                f"this node has {', '.join(self.served)}{self._undeclared(name)}",
            )
        if not served.ready:
            raise NotServing(f"the node has not applied the declaration of {name} yet")
        return served

    def _undeclared(self, name: str) -> str:
        """What to do where the replica has the table and no class of this node declares it."""
        tables = {} if self._reader is None else self._reader.tables()
        if fold(name) not in tables.keys() - map(fold, self.served):
            return ""
        return ". The log has that table: name the module of its class with --entities"

    def token_header(self, position: int) -> tuple[bytes, bytes]:
        """The token of the state that an answer was read in."""
        return TOKEN_HEADER, self._token % position

    def token_cookie(self, position: int) -> tuple[bytes, bytes]:
        """The token of a write for browsers, which then read it at whichever node."""
        return b"set-cookie", _COOKIE % (self._token % position)

    async def status(self) -> dict[str, Any]:
        """The node's status, or what a worker knows without the node process."""
        status = await self.link.status()
        if status is not None:
            return status
        position = -1 if self._reader is None else self._reader.position()
        return {
            "node": self.node_id,
            "cluster": self.cluster,
            "pid": None,
            "state": "node_down",
            "reason": {
                "reason": "node_down",
                "detail": "the node process does not answer",
                "cure": "Its supervisor starts it again; reads go on meanwhile",
            },
            "position": position,
            "lag": None,
        }
