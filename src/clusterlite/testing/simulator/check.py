"""The verdict on a run: what clients were told, against the log replayed by plain dictionaries.

The rules are written here a second time, from the documents, and only as far as the simulated
clients use them; nothing of the product is asked.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

from clusterlite.log.base import Record
from clusterlite.testing.history import Operation

Row = dict[str, Any]
Rows = dict[tuple[str, str], tuple[int, Row]]

UNIQUE = {"members": "name"}
REFERENCES = {"members": ("account", "accounts")}


class Judged(NamedTuple):
    """What the log says of an event id: where first, which verdict, codes that it may name."""

    position: int
    verdict: str
    codes: frozenset[str] = frozenset()


class Replay:
    """The log, judged.

    Args:
        records: all of it.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.judged: dict[str, Judged] = {}
        self.rows: Rows = {}
        self._past: dict[tuple[str, str], list[tuple[int, int | None, Row | None]]] = {}
        self._cluster = ""
        for record in records:
            self._apply(record.position, json.loads(record.value))

    def at(self, table: str, key: str, position: int) -> tuple[int | None, Row | None]:
        """Version and row as of a position."""
        past = self._past.get((table, key), [])
        index = bisect_right(past, position, key=lambda item: item[0])
        return past[index - 1][1:] if index else (None, None)

    def _apply(self, position: int, event: dict[str, Any]) -> None:
        name, operation = event["id"], event["operation"]
        if operation == "GENESIS" and not self._cluster:
            self._cluster = event["cluster"]
        if name in self.judged or event["cluster"] != self._cluster:
            return
        if operation == "FENCE":
            self.judged[name] = Judged(position, "never")
        elif operation in {"GENESIS", "SCHEMA"}:
            self.judged[name] = Judged(position, "applied")
        else:
            alone = operation != "TRANSACTION"
            changes = [event] if alone else event["data"]["changes"]
            before = dict(self.rows)
            codes = self._changes(position, changes)
            if codes:
                self.rows = before
                self.judged[name] = Judged(position, "rejected", codes)
            else:
                self.judged[name] = Judged(position, "applied")
                self._remember(position, changes)

    def _remember(self, position: int, changes: list[dict[str, Any]]) -> None:
        for change in changes:
            if change["operation"] != "ASSERT":
                place = change["table_name"], change["data"]["id"]
                version, row = self.rows.get(place, (None, None))
                self._past.setdefault(place, []).append((position, version, row))

    def _changes(self, position: int, changes: list[dict[str, Any]]) -> frozenset[str]:
        for change in changes:
            if not self._holds(change):
                return frozenset({"precondition_failed"})
        for change in changes:
            codes = self._change(position, change)
            if codes:
                return codes
        return frozenset()

    def _holds(self, change: dict[str, Any]) -> bool:
        wanted = change.get("if")
        found = self.rows.get((change["table_name"], change["data"]["id"]))
        if wanted is None:
            return True
        if "version" in wanted:
            return found is not None and found[0] == wanted["version"]
        return (found is not None) == ("present" in wanted)

    def _change(self, position: int, change: dict[str, Any]) -> frozenset[str]:
        operation, table, data = change["operation"], change["table_name"], change["data"]
        place = table, data["id"]
        found = self.rows.get(place)
        if operation == "ASSERT":
            return frozenset()
        if operation == "INSERT" and found is not None:
            return frozenset({"exists"})
        if operation in {"PATCH", "DELETE"} and found is None:
            return frozenset({"not_found"})
        if operation == "DELETE":
            if self._is_referred_to(table, data["id"]):
                return frozenset({"foreign_key"})
            del self.rows[place]
            return frozenset()
        row = {**found[1], **data} if operation == "PATCH" and found is not None else dict(data)
        codes = self._broken(table, row)
        if not codes:
            self.rows[place] = position, row
        return codes

    def _broken(self, table: str, row: Row) -> frozenset[str]:
        codes = set()
        unique = UNIQUE.get(table)
        if unique is not None and any(
            name == table and key != row["id"] and other[unique] == row[unique]
            for (name, key), (_, other) in self.rows.items()
        ):
            codes.add("unique")
        column, parent = REFERENCES.get(table, ("", ""))
        if column and row[column] is not None and (parent, row[column]) not in self.rows:
            codes.add("foreign_key")
        return frozenset(codes)

    def _is_referred_to(self, table: str, key: str) -> bool:
        return any(
            REFERENCES.get(name, ("", ""))[1] == table and row[REFERENCES[name][0]] == key
            for (name, _), (_, row) in self.rows.items()
        )


def check(history: list[Operation], records: list[Record]) -> list[str]:
    """What clients were told that the log does not bear out."""
    replay = Replay(records)
    found: list[str] = []
    for operation in history:
        wrong = _fate(operation, replay) if operation.writes else _read(operation, replay)
        if wrong:
            found.append(f"{wrong}: {operation}")
    return found + _in_time(history) + _sessions(history)


def _fate(operation: Operation, replay: Replay) -> str:  # noqa: PLR0911 - one rule each
    """I1, I2, I3, I6: a write's answer is the log's first verdict on its id."""
    judged = replay.judged.get(operation.event or "")
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
    if status == "rejected" and operation.code not in judged.codes:
        return f"I6: another reason than {sorted(judged.codes)}"
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
