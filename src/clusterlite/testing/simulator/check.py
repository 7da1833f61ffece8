"""The verdict on a run: what clients were told, against the log replayed by the model.

The rules are written there a second time, from the documents; nothing of the product is asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from clusterlite.log.base import Record
from clusterlite.testing.history import Operation
from clusterlite.testing.history.model import Model

Row = dict[str, Any]


class Judged(NamedTuple):
    """What the log says of an event id: where first, which verdict, and why not."""

    position: int
    verdict: str
    code: str | None = None


class Replay:
    """The log, judged.

    Args:
        records: all of it.
    """

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.model = Model(records)

    def judged(self, event: str) -> Judged | None:
        """What the log says of an event id."""
        found = self.model.outcomes.get(event)
        return None if found is None else Judged(found.position, found.verdict, found.code)

    def at(self, table: str, key: str, position: int) -> tuple[int | None, Row | None]:
        """Version and row as of a position."""
        cell = self.model.at(table, key, position)
        return (None, None) if cell is None else (cell.version, cell.row)

    def rows(self, table: str, position: int) -> dict[str, Row]:
        """A table as of a position."""
        cells = ((key, self.model.at(table, key, position)) for key in self.model.keys(table))
        return {key: cell.row for key, cell in cells if cell is not None}


def check(history: list[Operation], replay: Replay) -> list[str]:
    """What clients were told that the log does not bear out."""
    found: list[str] = []
    for operation in history:
        wrong = _fate(operation, replay) if operation.writes else _read(operation, replay)
        if wrong:
            found.append(f"{wrong}: {operation}")
    return found + _in_time(history) + _sessions(history)


def _fate(operation: Operation, replay: Replay) -> str:  # noqa: PLR0911 - one rule each
    """I1, I2, I3, I6: a write's answer is the log's first verdict on its id."""
    judged = replay.judged(operation.event or "")
    status = operation.status
    if status == "unknown":
        return ""
    if status == "failed":
        return "" if judged is None else f"I2: told as not written, and it is {judged}"
    if judged is None:
        return "I1: acknowledged, and the log does not have it"
    wanted = {"done": "applied"}.get(status, status)
    if judged.verdict != wanted:
        return f"I3: the log says {judged}"
    if status == "never":
        return ""
    if operation.position != judged.position:
        return f"I3: another position than {judged.position}"
    if status == "rejected" and operation.code != judged.code:
        return f"I6: another reason than {judged.code}"
    if operation.value is not None:
        table, key = operation.request["table"], operation.value["id"]
        if replay.at(table, key, judged.position) != (operation.version, operation.value):
            return "I6: another row than the log's"
    return ""


def _read(operation: Operation, replay: Replay) -> str:
    """I8: a row is the log's as of the position that the answer names."""
    if operation.status != "done" or operation.position is None:
        return ""
    request = operation.request
    if operation.kind == "list":
        rows = replay.rows(request["table"], operation.position)
        told = {row["id"]: row for row in operation.value}
        differ = sorted(k for k in rows.keys() | told.keys() if rows.get(k) != told.get(k))
        return f"I8: the log has other rows there: {differ}" if differ else ""
    expected = replay.at(request["table"], request["key"], operation.position)
    if expected == (operation.version, operation.value):
        return ""
    return f"I8: the log has {expected} there"


def _in_time(history: list[Operation]) -> list[str]:
    """I6: what was told before an operation began, it sees, or comes after."""
    told = sorted(
        (operation.ended, operation.position)
        for operation in history
        if operation.writes
        and operation.ended is not None
        and operation.position is not None
        and operation.told
    )
    found, index, newest = [], 0, -1
    for operation in sorted(history, key=lambda operation: operation.begun):
        while index < len(told) and told[index][0] < operation.begun:
            newest = max(newest, told[index][1])
            index += 1
        position = operation.position
        if position is None:
            continue
        if operation.writes and position <= newest:
            found.append(f"I6: a write of before it stands at {newest}: {operation}")
        elif operation.level == "strong" and not operation.writes and position < newest:
            found.append(f"I6: stale, a write was acknowledged at {newest}: {operation}")
    return found


def _sessions(history: list[Operation]) -> list[str]:
    """I7: a read with a token is at least as new as all that its client was told."""
    found, newest = [], dict[str, int]()
    for operation in history:  # a client does one after another
        position = operation.position
        if position is None:
            continue
        seen = newest.get(operation.client, -1)
        if operation.level == "session" and position < seen:
            found.append(f"I7: the client had seen {seen}: {operation}")
        newest[operation.client] = max(seen, position)
    return found
