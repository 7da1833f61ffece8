"""Workloads that add rows: a set, retries under one key at several nodes, bursts of overload."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from clusterlite.testing.history import Operation
from clusterlite.testing.load.client import Client
from clusterlite.testing.load.workloads.base import Rows, Workload


class Set(Workload):
    """Things that are added: all that were acknowledged are there at the end, each once."""

    name = "set"
    table = "items"

    async def step(self, client: Client) -> None:
        """Add one, with a key or without."""
        key = client.unique() if client.chance.random() < 0.5 else None
        await client.create(self.table, {"value": client.unique()}, key)

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """Acknowledged ones are there once, those that failed are not, the others at most once."""
        yield from once(history, rows, "value")


class Overload(Set):
    """The same, by bursts on many connections at once."""

    name = "overload"
    table = "bursts"

    def __init__(self, burst: int = 64, seldom: int = 20) -> None:
        self._burst = burst
        self._seldom = seldom

    async def step(self, client: Client) -> None:
        """Now and then a burst; each of it is sent once, without a key."""
        if client.chance.randrange(self._seldom):
            await super().step(client)
            return
        crowd = [client.other(f"{client.name}-{number}") for number in range(self._burst)]
        await asyncio.gather(*(one.create(self.table, {"value": one.unique()}) for one in crowd))
        for one in crowd:
            client.doubts += one.doubts
            await one.close()


class Retry(Workload):
    """Creates that are sent three times with one key, to nodes at random: one row each."""

    name = "retry"
    table = "orders"
    sent = 3

    async def step(self, client: Client) -> None:
        """One create, until it was answered three times."""
        key, row = client.unique(), {"mark": client.unique()}
        answered = 0
        while answered < self.sent:
            told = await client.create(self.table, row, key)
            answered += told.status not in {"failed", "unknown"}
            client.hop()

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """One row for each key that was ever acknowledged, and one answer."""
        yield from once(history, rows, "mark")
        told: dict[str, tuple[str | None, int | None, str | None]] = {}
        for operation in history:
            if not operation.told:
                continue
            mark = operation.request["row"]["mark"]
            answer = operation.event, operation.position, operation.code
            if told.setdefault(mark, answer) != answer:
                yield f"{mark} was answered {told[mark]} and {answer}"


def once(history: Sequence[Operation], rows: Rows, field: str) -> Iterator[str]:
    """Each value of creates is in as many rows as its client was told.

    Args:
        history: creates; several of one value are tries of one.
        rows: of the end.
        field: that has a value of its own in each.
    """
    found = Counter(row[field] for row in rows.values())
    said: dict[str, set[str]] = {}
    for operation in history:
        said.setdefault(operation.request["row"][field], set()).add(operation.status)
    for value, statuses in said.items():
        least, most = int("done" in statuses), int(bool(statuses & {"done", "unknown"}))
        if not least <= found[value] <= most:
            yield f"{value} is in {found[value]} rows, and its client was told {sorted(statuses)}"
    for value in found.keys() - said.keys():
        yield f"{value} is there, and nobody asked for it"
