"""Everything that a table can be asked for, at random: rows come, change and go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterlite.testing.history import Operation
from clusterlite.testing.load.client import Client
from clusterlite.testing.load.workloads.base import Rows, Workload, possible

ROWS_MAX = 200
"""That a run works on at once."""


class Mixed(Workload):
    """Creates, replaces, patches, deletes, transactions and reads of `users`, half with a key."""

    name = "mixed"
    table = "users"

    def __init__(self) -> None:
        self._keys: list[str] = []

    async def step(self, client: Client) -> None:
        """One write or read."""
        chance = client.chance
        dice = chance.random()
        if dice < 0.3 or len(self._keys) < 3:
            await self._create(client)
        elif dice < 0.55:
            await self._change(client, chance.choice(self._keys))
        elif dice < 0.7:
            await self._transact(client)
        elif dice < 0.8:
            row = self._keys.pop(chance.randrange(len(self._keys)))
            await client.delete(self.table, row, key(client))
        else:
            level = chance.choice(("eventual", "session", "strong"))
            await client.read(self.table, chance.choice(self._keys), level)

    async def _create(self, client: Client) -> None:
        mark = client.unique()
        row = {"name": mark, "email": f"{mark}@example.com"}
        told = await client.create(self.table, row, key(client))
        if told.value is not None and len(self._keys) < ROWS_MAX:
            self._keys.append(told.value["id"])

    async def _change(self, client: Client, row: str) -> None:
        mark = client.unique()
        if client.chance.random() < 0.5:
            whole = {"id": row, "name": mark, "email": f"{mark}@example.com"}
            await client.put(self.table, whole, key(client))
        else:
            field = client.chance.choice(("name", "email"))
            await client.patch(self.table, row, {field: mark}, key(client))

    async def _transact(self, client: Client) -> None:
        """Replace one row, create another, if the first is there."""
        mark, old = client.unique(), client.chance.choice(self._keys)
        row = {"name": mark, "email": f"{mark}@example.com"}
        changes = [
            _change("UPDATE", {"id": old, **row}) | {"if": {"present": True}},
            _change("INSERT", {"id": f"t-{mark}", **row}),
        ]
        await client.transaction(changes, key(client))

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """Every name at the end was written, by a write that may have taken effect."""
        written = {
            name for operation in history if possible(operation) for name in _names(operation)
        }
        for row, fields in rows.items():
            if fields["name"] not in written:
                yield f"users/{row} is named {fields['name']}, which nobody may have written"


def key(client: Client) -> str | None:
    """A key for every second write."""
    return client.unique() if client.chance.random() < 0.5 else None


def _change(operation: str, data: dict[str, str]) -> dict[str, object]:
    return {"operation": operation, "table_name": Mixed.table, "data": data}


def _names(operation: Operation) -> list[str]:
    request = operation.request
    if operation.kind == "transaction":
        found = [change["data"].get("name") for change in request["changes"]]
    else:
        found = [request.get(part, {}).get("name") for part in ("row", "fields")]
    return [name for name in found if name is not None]
