"""What a workload is: steps that any number of clients take, and what must hold at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from clusterlite.testing.history import Operation
from clusterlite.testing.load.client import Client

Rows = Mapping[str, Mapping[str, Any]]
"""Of a table, by key."""


class Workload:
    """One workload of a run, shared by its clients.

    Its checks look at what clients were told and at the rows of the end alone: whatever
    `history.check` says beside it, it says by another way.
    """

    name: ClassVar[str]
    table: ClassVar[str]

    async def begin(self, client: Client) -> None:
        """What must be there before the first step; may be done by one client alone."""

    async def step(self, client: Client) -> None:
        """One thing that a client does: a few requests."""
        raise NotImplementedError

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        """What went wrong.

        Args:
            history: operations on the workload's table, those of unknown fate settled.
            rows: of its table at the end, once nobody writes.
        """
        raise NotImplementedError


async def until_done(client: Client, changes: Sequence[Mapping[str, Any]], key: str) -> None:
    """Have a transaction done once, whatever the nodes do.

    Raises:
        RuntimeError: the nodes reject it.
    """
    told = await client.transaction(changes, key)
    while told.status in {"failed", "unknown"}:
        told = await client.transaction(changes, key)
    if told.status != "done":
        raise RuntimeError(f"a workload cannot begin: its first rows were {told}")


def tables(operation: Operation) -> set[str]:
    """The tables that an operation is about."""
    request = operation.request
    if operation.kind == "transaction":
        return {change["table_name"] for change in request["changes"]}
    return {request["table"]}


def possible(operation: Operation) -> bool:
    """Whether a write may have taken effect."""
    return operation.writes and operation.status in {"done", "unknown"}
