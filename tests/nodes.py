"""Nodes in this process, and logs that do what a test tells them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from clusterlite import Entity, Field, Node
from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.outcome import Outcome
from clusterlite.errors import LogClosed
from clusterlite.log.base import Log
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.node.ids import timestamp
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.reader import Fate, Reader
from tests.processes import wait_until


class User(Entity, table="users"):
    name: str = Field(min_length=1)
    email: str = Field(min_length=1, unique=True)


class Order(Entity, table="orders"):
    user: str | None = Field(None, references="users")
    amount: int = 0


def user(name: str, key: str = "") -> User:
    return User(id=key, name=name, email=f"{name}@example.com")


def names(node: Node) -> list[str]:
    return [row.name for row in node.list(User)]


def stamp(node: Node, event_id: str, after: int | None = None) -> Stamp:
    position = node.position if after is None else after
    return Stamp(event_id, timestamp(), node.cluster, node.node_id, position)


def insert(node: Node, event_id: str, name: str, after: int | None = None) -> bytes:
    """The record of a create, as any node would write it."""
    data = {"id": name, "name": name, "email": name}
    return codec.encode(stamp(node, event_id, after), "INSERT", "users", data, schema=node.position)


def put(log: Log, *values: bytes) -> int:
    """Append by a handle of one's own; the last position."""
    return [future.result(10) for future in log.append(values)][-1]


def follows(node: Node, position: int) -> None:
    """Wait until the node has applied a position."""
    wait_until(lambda: node.position >= position, lambda: str(node.status()))


def fate(node: Node, event_id: str) -> Fate:
    """What the node's replica knows of an event."""
    reader = Reader(DataFolder(node.data).replica)
    try:
        return reader.fate(event_id)
    finally:
        reader.close()


def outcome(node: Node, event_id: str) -> Outcome:
    found = fate(node, event_id).outcome
    assert found is not None, f"{event_id} has no outcome"
    return found


class HeldLog(MemoryLog):
    """A log whose appends wait, unwritten, while `holding` is set, and are written by `release`.

    Questions for the tail wait as long, and fail when it is closed.

    Args:
        store: shared with other handles.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(store)
        self.holding = threading.Event()
        self.held: list[tuple[bytes, Future[int]]] = []
        self.tails: list[Future[int]] = []

    def append(self, values: Sequence[bytes]) -> list[Future[int]]:
        if not self.holding.is_set():
            return super().append(values)
        futures: list[Future[int]] = [Future() for _ in values]
        self.held += zip(values, futures, strict=True)
        return futures

    def tail(self) -> Future[int]:
        if not self.holding.is_set():
            return super().tail()
        self.tails.append(Future())
        return self.tails[-1]

    def close(self) -> None:
        super().close()
        self.holding.clear()
        tails, self.tails = self.tails, []
        for future in tails:
            future.set_exception(LogClosed("the log is closed"))

    def wait_held(self, count: int) -> None:
        wait_until(lambda: len(self.held) >= count)

    def release(self) -> None:
        """Write what was held, in order."""
        self.holding.clear()
        held, self.held = self.held, []
        for value, future in held:
            (written,) = super().append([value])
            future.set_result(written.result())
