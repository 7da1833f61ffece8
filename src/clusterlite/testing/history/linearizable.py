"""Linearizability by the search of Wing and Gong, with Lowe's memory of what was tried.

Positions play no part in the verdict: only what was asked, when, and what was told. They may say
which order is tried first: where the log's own order explains all, nothing else has to be tried.
Operations that share no row are judged apart. A rejection for what an operation cannot see
(`unique`, `datatype`, …) says nothing and is left out; a write whose fate is unknown may take
effect at any time, or never.

Wing, Gong: Testing and verifying concurrent objects, 1993.
Lowe: Testing for linearizability, 2017.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clusterlite.testing.history.operation import Operation
from clusterlite.testing.history.records import fold
from clusterlite.testing.history.values import merged

STEPS_MAX: Final = 1_000_000
SEEN: Final = frozenset({"exists", "not_found", "precondition_failed"})
"""Rejections that depend on the operation's own rows alone."""

Place = tuple[str, str]
"""Folded table name and key."""


class Row(NamedTuple):
    """A row in the search: each field with its JSON, and the version where it was told."""

    fields: frozenset[tuple[str, str]]
    version: int | None


State = dict[Place, Row]

Order = Callable[[Operation], float]
"""Which of the operations that may come next is tried first: the one with the least number."""

_encode = json.JSONEncoder(sort_keys=True).encode


class Found(NamedTuple):
    """What the search says of operations that share rows.

    Args:
        linearizable: None where it gave up.
        operations: that were searched, by begin.
    """

    linearizable: bool | None
    operations: Sequence[Operation]


def search(
    history: Sequence[Operation],
    steps_max: int = STEPS_MAX,
    hidden: Collection[Place] = frozenset(),
    order: Order | None = None,
) -> list[Found]:
    """Judge strong reads and writes, each group of operations that share rows on its own.

    Args:
        history: at most one write of each event id; lists are left out.
        steps_max: steps of a group, after which it is given up.
        hidden: rows that others write too; whatever shares them is left out.
        order: what is tried first; the one that ended first, without it. No verdict depends on it.
    """
    return [
        Found(linearizable(group, steps_max, order), group)
        for group in _groups([o for o in history if _counts(o)])
        if not any(place in hidden for operation in group for place in places(operation))
    ]


def linearizable(
    operations: Sequence[Operation], steps_max: int = STEPS_MAX, order: Order | None = None
) -> bool | None:
    """Whether some order of the operations, within their times, tells what they were told.

    Returns:
        None after `steps_max` steps without an answer.
    """
    window = _Window(operations, order or _end)
    told, everything = window.told, window.everything
    state: State = {}
    begin, taken, late = 0, 0, 0  # all told before `begin`; bits of told after it; bits of maybe
    failed: set[tuple[int, int, int, frozenset[tuple[Place, Row]]]] = set()
    stack: list[tuple[list[int], int, int, int, State]] = []
    choices = window.choices(begin, taken, late)
    for _ in range(steps_max):
        if begin == len(told):
            return True
        while not choices:
            # Nothing that comes after can be here again: each step takes one operation more.
            failed.add((begin, taken, late, frozenset(state.items())))
            if not stack:
                return False
            choices, begin, taken, late, state = stack.pop()
        chosen = choices.pop()
        after = step(state, everything[chosen])
        if after is None:
            continue
        before = (choices, begin, taken, late, state)
        if chosen >= len(told):
            late |= 1 << (chosen - len(told))
        else:
            taken |= 1 << (chosen - begin)
            while taken & 1:
                begin, taken = begin + 1, taken >> 1
        if failed and (begin, taken, late, frozenset(after.items())) in failed:
            _, begin, taken, late, state = before
            continue
        stack.append(before)
        state = after
        choices = window.choices(begin, taken, late)
    return None


class _Window:
    """What may come next.

    Args:
        operations: that are searched.
        order: what is tried first.
    """

    def __init__(self, operations: Sequence[Operation], order: Order) -> None:
        by_begin = sorted(operations, key=lambda o: o.begun)
        self.told = [o for o in by_begin if _ends(o)]
        self.maybe = [o for o in by_begin if not _ends(o)]
        self.everything = [*self.told, *self.maybe]
        self._rank = [-order(o) for o in self.everything]

    def choices(self, begin: int, taken: int, late: int) -> list[int]:
        """By index, best last: begun before any other that is left has ended."""
        told = self.told
        if begin == len(told):
            return []
        until = math.inf
        found: list[int] = []
        for index in range(begin, len(told)):
            operation = told[index]
            if operation.begun > until:
                break
            if not taken >> (index - begin) & 1:
                found.append(index)
                until = min(until, _end(operation))
        found = [index for index in found if told[index].begun <= until]
        for index, operation in enumerate(self.maybe):
            if operation.begun > until:
                break
            if not late >> index & 1:
                found.append(len(told) + index)
        found.sort(key=self._rank.__getitem__)
        return found


def step(state: State, operation: Operation) -> State | None:
    """The state after an operation, None where it could not have been told what it was.

    Args:
        state: rows that are there; never changed.
        operation: a write, or a read that was answered.
    """
    if operation.kind == "read":
        row = state.get(places(operation)[0])
        return state if _agrees(row, operation) else None
    changes = _changes(operation)
    wrong = next((code for c in changes if (code := _condition(state, c, operation))), None)
    after = dict(state)
    if wrong is None:
        wrong = next((code for c in changes if (code := _change(after, c, operation))), None)
    if operation.status == "rejected":
        return state if wrong == operation.code else None
    return after if wrong is None else None


def _changes(operation: Operation) -> list[Mapping[str, Any]]:
    """The operation as a transaction spells it."""
    request, kind = operation.request, operation.kind
    if kind == "transaction":
        return list(request["changes"])
    names = {"create": "INSERT", "put": "UPDATE", "patch": "PATCH", "delete": "DELETE"}
    data = request.get("row") or {"id": request.get("key"), **request.get("fields", {})}
    change = {"operation": names[kind], "table_name": request["table"], "data": data}
    return [change | ({"if": request["if"]} if request.get("if") else {})]


def places(operation: Operation) -> list[Place]:
    """The rows that an operation reads or writes."""
    if operation.kind == "read":
        return [(fold(operation.request["table"]), operation.request["key"])]
    return [(fold(c["table_name"]), str(c["data"].get("id"))) for c in _changes(operation)]


def _condition(state: State, change: Mapping[str, Any], operation: Operation) -> str | None:
    """The code where a precondition fails; of a version that nobody was told, as was told."""
    wanted = change.get("if")
    if wanted is None:
        return None
    row = state.get((fold(change["table_name"]), change["data"]["id"]))
    if "version" in wanted:
        version = None if row is None else row.version
        holds = version == wanted["version"]
        if row is not None and version is None:
            holds = operation.code != "precondition_failed"
    else:
        holds = (row is not None) == ("present" in wanted)
    return None if holds else "precondition_failed"


def _change(state: State, change: Mapping[str, Any], operation: Operation) -> str | None:
    """Change `state` in place; the code where that is refused."""
    kind, data = change["operation"], change["data"]
    place = (fold(change["table_name"]), data["id"])
    row = state.get(place)
    if kind == "ASSERT":
        return None
    if kind == "INSERT" and row is not None:
        return "exists"
    if kind in {"PATCH", "DELETE"} and row is None:
        return "not_found"
    if kind == "DELETE":
        del state[place]
        return None
    fields = {} if row is None or kind != "PATCH" else dict(row.fields)
    for name, value in data.items():
        if kind == "PATCH" and isinstance(value, dict) and name in fields:
            value = merged(json.loads(fields[name]), value)  # noqa: PLW2901
        fields[name] = _spelled(value)
    version = operation.position if operation.version is None else operation.version
    state[place] = Row(frozenset(fields.items()), version)
    return None


def _agrees(row: Row | None, operation: Operation) -> bool:
    if row is None or operation.value is None:
        return row is None and operation.value is None
    value = {name: _spelled(item) for name, item in operation.value.items()}
    versions = {row.version, operation.version} - {None}
    return row.fields <= value.items() and len(versions) < 2


def _spelled(value: Any) -> str:
    return str(value) if type(value) is int else _encode(value)


def _counts(operation: Operation) -> bool:
    if operation.kind == "read":
        return operation.status == "done" and operation.level == "strong"
    if not operation.writes or operation.status in {"failed", "never"}:
        return False
    if any(key == "None" for _, key in places(operation)):
        return False  # a create whose id nobody learned can be in no one's way
    return operation.status != "rejected" or operation.code in SEEN


def _ends(operation: Operation) -> bool:
    """Whether it must have taken its place by some time."""
    return operation.ended is not None and operation.status in {"done", "rejected"}


def _end(operation: Operation) -> float:
    return math.inf if operation.ended is None else operation.ended


def _groups(operations: Sequence[Operation]) -> list[list[Operation]]:
    """Operations that share a row, directly or by way of others."""
    leader: dict[Place, Place] = {}

    def find(place: Place) -> Place:
        while (above := leader.setdefault(place, place)) != place:
            place = above
        return place

    for operation in operations:
        first, *others = places(operation)
        for other in others:
            leader[find(other)] = find(first)
    groups: defaultdict[Place, list[Operation]] = defaultdict(list)
    for operation in operations:
        groups[find(places(operation)[0])].append(operation)
    return [sorted(group, key=lambda o: o.begun) for group in groups.values()]
