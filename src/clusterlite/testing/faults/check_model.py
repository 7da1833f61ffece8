"""An independent model of the users' table, and the checks of a history against it.

Pure functions over plain values, and nothing of the product. The rules are those of the
documents: an INSERT of a key that is there is rejected `exists`, an UPDATE creates or replaces,
a DELETE of nothing is rejected `not_found`, an event id has at most one effect.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterlite.testing.faults.check_load import Operation

POISON = "poison-"
"""What the ids of records begin with that a fault run throws in, and no node may apply."""


@dataclass
class Model:
    """What the topic says, by a plain dict.

    Args:
        rows: by key, as the last event left them.
        versions: by key, the position that last wrote the row.
        outcomes: by event id: position, and `applied` or a rejection's code.
        markers: by marker, the event ids that carry it.
        deletes: by key, the event ids that ask to delete it: a DELETE carries no marker.
        end: one past the last position.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, tuple[int, str]] = field(default_factory=dict)
    markers: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    deletes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    end: int = 0
    repeated: int = 0

    def feed(self, position: int, value: bytes) -> None:
        """Apply one record of the topic."""
        self.end = position + 1
        event = _read(value)
        if event is None:
            return
        kind, data = event["operation"], event["data"]
        if event["table_name"] == "users" and "name" in data:
            self.markers[data["name"]].add(event["id"])
        if event["table_name"] == "users" and kind == "DELETE":
            self.deletes[data["id"]].add(event["id"])
        if kind == "BARRIER":
            return
        if event["id"] in self.outcomes:
            self.repeated += 1
            return
        verdict = "never" if kind == "FENCE" else "applied"
        if kind in {"INSERT", "UPDATE", "DELETE"}:
            verdict = self._change(kind, data, position)
        self.outcomes[event["id"]] = (position, verdict)

    def _change(self, kind: str, data: dict[str, Any], position: int) -> str:
        key = data["id"]
        if kind == "INSERT" and key in self.rows:
            return "exists"
        if kind == "DELETE":
            if key not in self.rows:
                return "not_found"
            del self.rows[key], self.versions[key]
            return "applied"
        self.rows[key] = data
        self.versions[key] = position
        return "applied"


def _read(value: bytes) -> dict[str, Any] | None:
    """The event in a record, None where it must have no effect: what the fault run threw in."""
    try:
        event = json.loads(value)
    except ValueError:
        return None
    if not isinstance(event, dict) or "operation" not in event:
        return None
    return None if str(event["id"]).startswith(POISON) else event


def check_history(
    history: Sequence[Operation], unknown: Sequence[Operation], model: Model
) -> list[str]:
    """What the clients were told, against the topic.

    Args:
        history: every operation.
        unknown: those of it that were unknown at the end of the load, with what a node said of
            them since; for those without an event id their fate is filled in here.
        model: fed with the whole topic.

    Returns:
        The violations, none where all is well.
    """
    wrong = check_fates(history, model) + check_real_time(history)
    return wrong + check_deletes(history, model) + check_settled(unknown, model)


def check_fates(history: Sequence[Operation], model: Model) -> list[str]:
    """Each operation's answer against the topic."""
    wrong: list[str] = []
    for operation in history:
        events = model.markers.get(operation.marker, set())
        if len(events) > 1:
            wrong.append(f"{operation.marker} stands under {len(events)} event ids: {operation}")
        outcome = model.outcomes.get(operation.event or "")
        if operation.fate in {"done", "rejected"}:
            if outcome is None:
                wrong.append(f"answered {operation.status} and not in the topic: {operation}")
            elif outcome[0] != operation.position:
                wrong.append(f"answered with another position than {outcome[0]}: {operation}")
            elif (outcome[1] == "applied") != (operation.fate == "done"):
                wrong.append(f"answered otherwise than judged ({outcome[1]}): {operation}")
        elif operation.fate == "refused" and (outcome is not None or events):
            wrong.append(f"refused as not written, and in the topic: {operation}")
    return wrong


def check_deletes(history: Sequence[Operation], model: Model) -> list[str]:
    """No row of this load has more DELETEs in the topic than clients who may have written one."""
    known = {operation.event for operation in history if operation.event is not None}
    created = {operation.row for operation in history if operation.kind == "create"}
    doubtful = Counter(
        operation.row
        for operation in history
        if operation.kind == "delete" and operation.event is None and operation.fate != "refused"
    )
    return [
        f"refused as not written, and in the topic: DELETE of {row} under {sorted(strange)}"
        for row, events in model.deletes.items()
        if row in created and len(strange := events - known) > doubtful[row]
    ]


def check_real_time(history: Sequence[Operation]) -> list[str]:
    """If A was answered before B was sent, A stands before B (a sweep over both orders)."""
    told = [o for o in history if o.fate in {"done", "rejected"} and o.position is not None]
    wrong: list[str] = []
    ended = sorted(told, key=lambda o: o.end)
    highest: Operation | None = None
    index = 0
    for operation in sorted(told, key=lambda o: o.start):
        while index < len(ended) and ended[index].end < operation.start:
            if highest is None or _position(ended[index]) > _position(highest):
                highest = ended[index]
            index += 1
        # A write sent twice under one key may stand where its first try put it.
        if highest and operation.attempts == 1 and _position(operation) < _position(highest):
            wrong.append(f"answered after {highest}, and stands before it: {operation}")
    return wrong


def _position(operation: Operation) -> int:
    return -1 if operation.position is None else operation.position


def check_settled(unknown: Sequence[Operation], model: Model) -> list[str]:
    """What a node said of an unknown outcome, against the topic; markers where no id is known."""
    wrong: list[str] = []
    for operation in unknown:
        if operation.event is None:
            events = model.markers.get(operation.marker, set())
            landed = any(model.outcomes[event][1] == "applied" for event in events)
            operation.fate = "unknown, then found" if landed else "unknown, then not found"
            continue
        said = operation.fate.removeprefix("unknown, then ")
        position_and_verdict = model.outcomes.get(operation.event)
        judged = "unseen" if position_and_verdict is None else position_and_verdict[1]
        if said != (judged if judged in {"applied", "never", "unseen"} else "rejected"):
            wrong.append(f"settled as {said}, and the topic says {judged}: {operation}")
    return wrong


def check_contents(
    name: str, rows: Sequence[dict[str, Any]], versions: dict[str, int], model: Model
) -> list[str]:
    """A node's rows, and some of their versions, against the model."""
    found = {row["id"]: row for row in rows}
    wrong = [f"{name} has {len(rows)} rows, {len(found)} keys"] if len(found) != len(rows) else []
    wrong += [
        f"{name}: row {key} is {found.get(key)}, not {model.rows.get(key)}"
        for key in sorted(found.keys() | model.rows.keys())
        if found.get(key) != model.rows.get(key)
    ]
    return wrong + [
        f"{name}: row {key} has version {version}, not {model.versions.get(key)}"
        for key, version in versions.items()
        if model.versions.get(key) != version
    ]


def check_equal(what: str, values: dict[str, Any]) -> list[str]:
    """One value at every node."""
    return [] if len(set(values.values())) == 1 else [f"{what} differ: {values}"]
