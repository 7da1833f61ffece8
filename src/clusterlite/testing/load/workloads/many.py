"""Workloads that read many rows as of one snapshot: a bank, and a long fork."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from clusterlite.testing.history import Operation
from clusterlite.testing.load.client import Client
from clusterlite.testing.load.told import Told
from clusterlite.testing.load.workloads.base import Rows, Workload, until_done


class Bank(Workload):
    """Money that moves between accounts, and never becomes more or less."""

    name = "bank"
    table = "accounts"

    def __init__(self, accounts: int = 50, balance: int = 100) -> None:
        self._ids = [f"a-{number}" for number in range(accounts)]
        self._balance = balance

    async def begin(self, client: Client) -> None:
        """Open every account."""
        rows = [{"id": key, "balance": self._balance} for key in self._ids]
        changes = [{"operation": "INSERT", "table_name": self.table, "data": row} for row in rows]
        await until_done(client, changes, client.unique())

    async def step(self, client: Client) -> None:
        """Look at all of them, or move money between two that were just read."""
        if client.chance.random() < 0.3:
            level = client.chance.choice(("eventual", "session", "strong"))
            await client.list(self.table, level)
            return
        ids = client.chance.sample(self._ids, 3)
        given, taken, looked = [await client.read(self.table, key) for key in ids]
        if given.value is None or taken.value is None or looked.value is None:
            return
        amount = client.chance.randint(0, given.value["balance"])
        changes = [_moved(given, -amount), _moved(taken, amount)]
        if client.chance.random() < 0.2:  # a row that is only read, and must not have changed
            changes.append(_if_unchanged("ASSERT", {"id": ids[2]}, looked))
        await client.transaction(changes, client.unique())

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """Every list has every account and the same total; before the first change it is empty."""
        total = len(self._ids) * self._balance
        opened = [
            o.position or 0 for o in history if o.kind == "transaction" and o.status == "done"
        ]
        seen = [("at the end", [*rows.values()])]
        seen += [
            (str(operation), operation.value)
            for operation in history
            if operation.kind == "list"
            and operation.status == "done"
            and (operation.value or (operation.position or 0) >= min(opened, default=0))
        ]
        for where, accounts in seen:
            found = sum(account["balance"] for account in accounts)
            if len(accounts) != len(self._ids) or found != total:
                yield f"{len(accounts)} accounts hold {found}, not {total}: {where}"
            elif any(account["balance"] < 0 for account in accounts):
                yield f"an account is overdrawn: {where}"


def _moved(read: Told, amount: int) -> dict[str, Any]:
    row = {**read.value, "balance": read.value["balance"] + amount}
    return _if_unchanged("UPDATE", row, read)


def _if_unchanged(operation: str, data: Mapping[str, Any], read: Told) -> dict[str, Any]:
    change = {"operation": operation, "table_name": Bank.table, "data": dict(data)}
    return change | {"if": {"version": read.version}}


class Fork(Workload):
    """Rows that count up, one writer each: no two readers see two writes in opposite order."""

    name = "fork"
    table = "halves"

    def __init__(self) -> None:
        self._own: dict[str, tuple[str, int]] = {}

    async def step(self, client: Client) -> None:
        """Count the client's own row up, or read all of them."""
        if client.chance.random() < 0.5:
            key, count = self._own.get(client.name, (client.unique(), 0))
            self._own[client.name] = key, count + 1
            told = await client.put(self.table, {"id": key, "n": count + 1}, client.unique())
            if told.status == "unknown":  # it may land behind a later one: that row is left alone
                del self._own[client.name]
        else:
            level = client.chance.choice(("eventual", "session", "strong"))
            await client.list(self.table, level)

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """Of any two lists one is nowhere behind the other."""
        lists = [o.value for o in history if o.kind == "list" and o.status == "done"]
        views = [{row["id"]: row["n"] for row in found} for found in lists]
        views.sort(key=lambda view: (sum(view.values()), len(view)))
        end = {key: row["n"] for key, row in rows.items()}
        for earlier, later in pairwise([*views, end]):
            ahead = {key for key, n in earlier.items() if n > later.get(key, 0)}
            if ahead:
                yield f"{earlier} and {later} were both read: {sorted(ahead)} went back"
