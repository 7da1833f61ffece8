"""Workloads on single rows: a register, counters, lists, one row for each session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Any

from clusterlite.testing.history import Operation
from clusterlite.testing.load.client import Client
from clusterlite.testing.load.workloads.base import Rows, Workload, possible

ABSENT = {"absent": True}


class Turns:
    """A few rows at a time, so that clients race: after so many steps others take their turn.

    Args:
        prefix: of their keys.
        rows: at a time.
        steps: of all clients together.
    """

    def __init__(self, prefix: str, rows: int, steps: int) -> None:
        self._prefix = prefix
        self._rows = rows
        self._steps = steps
        self._taken = 0

    def next(self, chance: Random) -> str:
        """The key of one whose turn it is."""
        self._taken += 1
        return f"{self._prefix}{self._taken // self._steps}-{chance.randrange(self._rows)}"


class Register(Workload):
    """Values that are read, set, and compared and set; each is written once."""

    name = "register"
    table = "registers"

    def __init__(self, rows: int = 5, steps: int = 400) -> None:
        self._turns = Turns("r", rows, steps)

    async def step(self, client: Client) -> None:
        """Read one, then perhaps set it."""
        chance = client.chance
        key = self._turns.next(chance)
        found = await client.read(self.table, key, chance.choice(("strong", "strong", "eventual")))
        if found.status != "done" or chance.random() < 0.3:
            return
        row = {"id": key, "value": client.unique()}
        sent = client.unique() if chance.random() < 0.5 else None
        if chance.random() < 0.2:
            await client.put(self.table, row, sent)
            return
        condition = ABSENT if found.value is None else {"version": found.version}
        await client.put(self.table, row, sent, condition)

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """A version has one value, wherever it is read, and somebody may have written that."""
        written = {o.request["row"]["value"] for o in history if possible(o)}
        values: dict[tuple[str, int | None], Any] = {}
        for operation in history:
            if operation.kind != "read" or operation.status != "done" or operation.value is None:
                continue
            place, value = (operation.request["key"], operation.version), operation.value["value"]
            if values.setdefault(place, value) != value:
                yield f"{place} was read as {values[place]} and as {value}"
        for key, value in [(place[0], value) for place, value in values.items()] + [
            (key, row["value"]) for key, row in rows.items()
        ]:
            if value not in written:
                yield f"{key} is {value}, which nobody may have written"


class Counter(Workload):
    """Counters that all clients race for by compare-and-set: each success counts once."""

    name = "counter"
    table = "counters"

    def __init__(self, rows: int = 200, steps: int = 25) -> None:
        self._rows = rows
        self._steps = steps
        self._taken = 0

    async def step(self, client: Client) -> None:
        """Read the counter whose turn it is, and set it one higher if nobody else did."""
        self._taken += 1
        key = f"n-{self._taken // self._steps % self._rows}"
        found = await client.read(self.table, key, client.chance.choice(("session", "strong")))
        if found.status != "done":
            return
        sent = client.unique() if client.chance.random() < 0.5 else None
        if found.value is None:
            await client.put(self.table, {"id": key, "n": 1}, sent, ABSENT)
        else:
            row = {"id": key, "n": found.value["n"] + 1}
            await client.put(self.table, row, sent, {"version": found.version})

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """Each counter is what the successes on it are; one of unknown fate may count or not."""
        done: defaultdict[str, int] = defaultdict(int)
        unknown: defaultdict[str, int] = defaultdict(int)
        for operation in filter(possible, history):
            (done if operation.status == "done" else unknown)[operation.request["row"]["id"]] += 1
        for key in sorted({*done, *rows}):
            n = rows[key]["n"] if key in rows else 0
            if not done[key] <= n <= done[key] + unknown[key]:
                doubt = f" and {unknown[key]} of unknown fate" if unknown[key] else ""
                yield f"{key} is {n} after {done[key]} successes{doubt}"


class Append(Workload):
    """Lists that only grow: whatever is read is a beginning of what is there at the end."""

    name = "append"
    table = "lists"

    def __init__(self, rows: int = 3, steps: int = 100) -> None:
        self._turns = Turns("l", rows, steps)

    async def step(self, client: Client) -> None:
        """Read one, and put a value behind its last if nobody else did meanwhile."""
        chance = client.chance
        key = self._turns.next(chance)
        found = await client.read(self.table, key, chance.choice(("eventual", "session", "strong")))
        if found.status != "done" or chance.random() < 0.3:
            return
        value = client.unique()
        sent = client.unique() if chance.random() < 0.5 else None
        if found.value is None:
            await client.put(self.table, {"id": key, "values": [value]}, sent, ABSENT)
        else:
            fields = {"values": [*found.value["values"], value]}
            await client.patch(self.table, key, fields, sent, {"version": found.version})

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """Every list that was read, or written with success, begins the one of the end."""
        for operation in history:
            seen = _seen(operation)
            if seen is None:
                continue
            key, values = seen
            final = rows[key]["values"] if key in rows else []
            if final[: len(values)] != values:
                yield f"{key} was {values}, and is {final} at the end"
        for key, row in rows.items():
            if len(set(row["values"])) != len(row["values"]):
                yield f"{key} has a value twice: {row['values']}"


def _seen(operation: Operation) -> tuple[str, list[str]] | None:
    """The list that a read or an append shows."""
    if operation.status != "done":
        return None
    request = operation.request
    if operation.kind == "read":
        found = operation.value
        return None if found is None else (request["key"], found["values"])
    row = request.get("row") or {"id": request["key"], **request["fields"]}
    return row["id"], row["values"]


class Session(Workload):
    """Each client counts a row of its own up at one node, and reads it at another."""

    name = "session"
    table = "notes"

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int)

    async def step(self, client: Client) -> None:
        """Write it, hop, read it, hop, read it."""
        self._counts[client.name] += 1
        row = {"id": client.name, "n": self._counts[client.name]}
        await client.put(self.table, row, client.unique())
        for _ in range(2):
            client.hop()
            await client.read(self.table, client.name, "session")

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """A client reads what it wrote last with success or something later, and never goes back.

        A write that took effect late puts its row back: as far as one was unknown so is the row.
        """
        own: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in history:
            own[operation.client].append(operation)
        for client, operations in own.items():
            doubtful = {_n(o) for o in _doubted(operations)}
            done = [o for o in operations if o.status == "done"]
            sure = [o for o in done if not o.writes or _n(o) not in doubtful]
            for before, after in pairwise(sure):
                if not after.writes and _n(after) < _n(before) and _n(after) not in doubtful:
                    yield f"{client} read {_n(after)} after {_n(before)}"
            last = max((_n(o) for o in done if o.writes), default=0)
            n = rows[client]["n"] if client in rows else 0
            if n not in {last, *doubtful}:
                yield f"{client} wrote {last} last, and the row is {n}"


def _doubted(operations: Sequence[Operation]) -> list[Operation]:
    """A client's writes that were unknown when it went on; it may know them by now."""
    following: list[Operation | None] = [*operations[1:], None]
    return [
        one
        for one, after in zip(operations, following, strict=True)
        if possible(one)
        and (one.status == "unknown" or (after and (one.ended or 0.0) > after.begun))
    ]


def _n(operation: Operation) -> int:
    row = operation.request["row"] if operation.writes else operation.value
    return 0 if row is None else int(row["n"])
