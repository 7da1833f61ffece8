"""The check of a history against the log and the replicas: six points, each with its rules.

1. fate          lost, phantom, wrong_outcome, failed_but_written, never_but_written
2. replay        wrong_position, wrong_version, wrong_value
3. real time     out_of_order, stale_read
4. sessions      went_back
5. replicas      hashes_differ, rows_differ
6. search        not_linearizable, undecided (the search gave up: nothing is known)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from clusterlite.testing.history.linearizable import STEPS_MAX, Order, Place, places, search
from clusterlite.testing.history.model import Model, Outcome
from clusterlite.testing.history.operation import Operation
from clusterlite.testing.history.records import ROWS, Event, LogRecord, fold

EVENTS: Final = {"create": "INSERT", "put": "UPDATE", "patch": "PATCH", "delete": "DELETE"}


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be.

    Args:
        rule: one of those above.
        expected: what should have been, and what was.
        operations: that show it.
        positions: of the log that it is about.
    """

    rule: str
    expected: str
    operations: tuple[Operation, ...] = ()
    positions: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = f" (positions {', '.join(map(str, self.positions))})" if self.positions else ""
        return "\n    ".join([f"{self.rule}: {self.expected}{where}", *map(str, self.operations)])


@dataclass(frozen=True, slots=True)
class Replica:
    """What one replica was seen to be at one position.

    Args:
        name: of its node.
        position: of the last record that it had applied.
        hashes: by what they are of: `running`, `content`, …; hexadecimal.
        tables: rows by table and key, where they were read.
        versions: of those rows, where they were read.
    """

    name: str
    position: int
    hashes: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def check(
    history: Sequence[Operation],
    log: Iterable[LogRecord],
    replicas: Sequence[Replica] = (),
    *,
    since: int = 0,
    steps_max: int = STEPS_MAX,
) -> list[Violation]:
    """Check a history, once the nodes have healed.

    Args:
        history: every operation of every client.
        log: the whole log, from its first record.
        replicas: what replicas were seen to be, any number of times.
        since: from this position on nobody else wrote events of nodes.
        steps_max: of the search, for each group of operations that share rows.

    Returns:
        The violations, none where all is well.

    Raises:
        Unmodelled: the log asks for something that the model does not know.
    """
    model = Model(log)
    merged = _merged([_keyed(operation, model) for operation in history])
    return [
        *check_fates(history, model, since),
        *check_replay(history, model),
        *check_real_time(merged),
        *check_sessions(merged),
        *check_replicas(replicas, model),
        *check_search(merged, steps_max, _hidden(merged, model), lambda o: _place(o, model)),
    ]


def check_fates(history: Sequence[Operation], model: Model, since: int = 0) -> Iterator[Violation]:
    """Point 1: what was told to be is there once, and nothing else is."""
    writes = [o for o in history if o.writes]
    possible = {o.event for o in writes if o.event and o.status != "failed"}
    for operation in writes:
        outcome = model.outcomes.get(operation.event or "")
        if operation.told:
            yield from _check_told(operation, _found(operation, model))
        elif operation.status == "never" and (outcome is None or outcome.verdict != "never"):
            verdict = "nothing of it" if outcome is None else outcome.verdict
            at = () if outcome is None else (outcome.position,)
            text = f"settled as never, and the log says {verdict}"
            yield Violation("never_but_written", text, (operation,), at)
        elif operation.status == "failed" and operation.event not in possible:
            if outcome is None or outcome.verdict == "never":
                continue
            text = "told that it did not happen, and the log has it"
            yield Violation("failed_but_written", text, (operation,), (outcome.position,))
    yield from _check_strangers(writes, model, since)


def _found(operation: Operation, model: Model) -> Outcome | None:
    if operation.event is not None:
        return model.outcomes.get(operation.event)
    return model.records.get(
        -1 if operation.position is None else operation.position, (None, None)
    )[1]


def _check_told(operation: Operation, outcome: Outcome | None) -> Iterator[Violation]:
    if outcome is None:
        yield Violation("lost", f"told {operation.status}, and not in the log", (operation,))
        return
    said = ("applied", None) if operation.status == "done" else ("rejected", operation.code)
    if (outcome.verdict, outcome.code) != said:
        judged = outcome.code or outcome.verdict
        text = f"told {operation.status}, and judged {judged}"
        yield Violation("wrong_outcome", text, (operation,), (outcome.position,))


def _check_strangers(writes: Sequence[Operation], model: Model, since: int) -> Iterator[Violation]:
    """Each event of a node is some operation's; those that nobody named are matched by content."""
    named = _named(writes, model)
    strangers = [
        (event, outcome)
        for position, (event, outcome) in model.records.items()
        if position >= since
        and event is not None
        and event.ours
        and outcome.verdict == "applied"
        and event.operation in ROWS | {"TRANSACTION"}
        and event.id not in named
    ]
    unnamed = [o for o in writes if o.event is None and o.status == "unknown"]
    claims = [[i for i, o in enumerate(unnamed) if _asks(o, event)] for event, _ in strangers]
    owner: dict[int, int] = {}

    def claim(stranger: int, tried: set[int]) -> bool:
        for index in claims[stranger]:
            if index not in tried:
                tried.add(index)
                if index not in owner or claim(owner[index], tried):
                    owner[index] = stranger
                    return True
        return False

    for number, (event, outcome) in enumerate(strangers):
        if not claim(number, set()):
            alike = tuple(o for o in writes if _asks(o, event))[:2]
            text = f"nobody may have written event {event.id}: {event.operation} {event.data}"
            yield Violation("phantom", text, alike, (outcome.position,))


def _asks(operation: Operation, event: Event) -> bool:
    """Whether an event is what an operation asked for; the node may have added to it."""
    request = operation.request
    if operation.kind == "transaction":
        asked = list(request["changes"])
    else:
        data = request.get("row") or {"id": request.get("key"), **request.get("fields", {})}
        asked = [
            {"operation": EVENTS[operation.kind], "table_name": request["table"], "data": data}
        ]
    return len(asked) == len(event.changes) and all(
        change.operation == item["operation"]
        and change.table == fold(item["table_name"])
        and all(name in change.data and change.data[name] == v for name, v in item["data"].items())
        for item, change in zip(asked, event.changes, strict=True)
    )


def check_replay(history: Sequence[Operation], model: Model) -> Iterator[Violation]:
    """Point 2: positions, versions and rows that were told are those of the log."""
    for operation in history:
        if operation.writes and operation.told:
            outcome = _found(operation, model)
            if outcome is not None:
                yield from _check_write(operation, outcome)
        elif operation.status == "done" and operation.kind == "read":
            yield from _check_read(operation, model)
        elif operation.status == "done" and operation.position is not None:
            yield from _check_list(operation, model)


def _check_write(operation: Operation, outcome: Outcome) -> Iterator[Violation]:
    at = (outcome.position,)
    if operation.position not in {None, outcome.position}:
        text = f"told position {operation.position}, and its event stands at {outcome.position}"
        yield Violation("wrong_position", text, (operation,), at)
    version = outcome.position if operation.status == "done" else outcome.version
    if operation.version not in {None, version}:
        text = f"told version {operation.version}, and it is {version}"
        yield Violation("wrong_version", text, (operation,), at)
    rows = [cell.row for _, _, cell in outcome.written if cell is not None]
    single = operation.status == "done" and operation.kind != "transaction"
    if single and operation.value is not None and operation.value not in rows:
        text = f"told {operation.value}, and it is {rows}"
        yield Violation("wrong_value", text, (operation,), at)


def _check_read(operation: Operation, model: Model) -> Iterator[Violation]:
    """A row that was read; without a position, it is the one that its version names."""
    position = operation.version if operation.position is None else operation.position
    if position is None:
        return
    if position > model.position:
        text = f"told position {position}, and the log ends at {model.position}"
        yield Violation("wrong_position", text, (operation,))
        return
    cell = model.at(operation.request["table"], operation.request["key"], position)
    row, version = (None, None) if cell is None else cell
    if operation.value != row:
        text = f"read {operation.value}, and the row is {row}"
        yield Violation("wrong_value", text, (operation,), (position,))
    elif operation.version not in {None, version}:
        text = f"read version {operation.version}, and it is {version}"
        yield Violation("wrong_version", text, (operation,), (position,))


def _check_list(operation: Operation, model: Model) -> Iterator[Violation]:
    position, table = operation.position or 0, operation.request["table"]
    cells = {key: model.at(table, key, position) for key in model.keys(table)}
    rows = {key: cell.row for key, cell in cells.items() if cell is not None}
    told = {row["id"]: row for row in operation.value}
    if told != rows or len(told) != len(operation.value):
        differ = sorted(k for k in told.keys() | rows.keys() if told.get(k) != rows.get(k))
        text = f"listed {len(operation.value)} rows, there are {len(rows)}; other rows: {differ}"
        yield Violation("wrong_value", text, (operation,), (position,))
    for key, version in operation.versions.items():
        cell = cells.get(key)
        if cell is not None and cell.version != version:
            text = f"listed version {version} of {key}, and it is {cell.version}"
            yield Violation("wrong_version", text, (operation,), (position,))


def check_real_time(history: Sequence[Operation]) -> Iterator[Violation]:
    """Point 3: a write, and a strong read, stands behind all that was told before it began."""
    yield from _behind(history, history)


def _behind(
    told: Sequence[Operation], later: Sequence[Operation], rule: str = ""
) -> Iterator[Violation]:
    """Each of `later` whose position is below one that was told before it began."""
    ended = sorted((o for o in told if o.ended is not None), key=lambda o: o.ended or 0.0)
    ended = [o for o in ended if o.position is not None]
    highest: Operation | None = None
    index = 0
    for operation in sorted(later, key=lambda o: o.begun):
        while index < len(ended) and (ended[index].ended or 0.0) < operation.begun:
            if highest is None or _position(ended[index]) > _position(highest):
                highest = ended[index]
            index += 1
        if highest is None or operation.position is None:
            continue
        binding = operation.writes or operation.level == "strong"
        if rule:
            binding = operation.writes or operation.level in {"session", "strong"}
        if not binding or operation.ended is None:
            continue
        low = _position(operation) < _position(highest)
        same = _position(operation) == _position(highest) and operation.writes
        if low or (same and not rule and highest.event != operation.event):
            name = rule or ("out_of_order" if operation.writes else "stale_read")
            text = f"position {operation.position}, begun after {highest.position} was told"
            yield Violation(
                name, text, (highest, operation), (_position(highest), _position(operation))
            )


def check_sessions(history: Sequence[Operation]) -> Iterator[Violation]:
    """Point 4: no client goes back, except by reads that do not ask to go on from there."""
    clients: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        clients[operation.client].append(operation)
    for own in clients.values():
        yield from _behind(own, own, "went_back")


def check_replicas(replicas: Sequence[Replica], model: Model) -> Iterator[Violation]:
    """Point 5: one hash at one position, and the rows that the log says."""
    hashes: defaultdict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for replica in replicas:
        for what, value in replica.hashes.items():
            hashes[what, replica.position][replica.name] = value
        yield from _check_rows(replica, model)
    for (what, position), values in hashes.items():
        if len(set(values.values())) > 1:
            text = f"the {what} hashes of the replicas differ: {values}"
            yield Violation("hashes_differ", text, (), (position,))


def _check_rows(replica: Replica, model: Model) -> Iterator[Violation]:
    for table, rows in replica.tables.items():
        for key in sorted({*rows, *model.keys(table)}):
            cell = model.at(table, key, replica.position)
            row, version = (None, None) if cell is None else cell
            found = replica.versions.get(table, {}).get(key, version)
            if rows.get(key) != row:
                text = f"{replica.name} has {rows.get(key)} as {table}/{key}, the log says {row}"
                yield Violation("rows_differ", text, (), (replica.position,))
            elif found != version:
                text = f"{replica.name} has version {found} of {table}/{key}, not {version}"
                yield Violation("rows_differ", text, (), (replica.position,))


def check_search(
    history: Sequence[Operation],
    steps_max: int = STEPS_MAX,
    hidden: Collection[Place] = frozenset(),
    order: Order | None = None,
) -> Iterator[Violation]:
    """Point 6: some order within the operations' times explains what was told."""
    for found in search(history, steps_max, hidden, order):
        if found.linearizable is False:
            text = f"no order explains what these {len(found.operations)} were told"
            yield Violation("not_linearizable", text, tuple(found.operations))
        elif found.linearizable is None:
            text = f"no answer for these {len(found.operations)} after {steps_max} steps"
            yield Violation("undecided", text, tuple(found.operations))


def _place(operation: Operation, model: Model) -> float:
    """Where it took effect in the log, or in between; behind everything where it did not."""
    if not operation.writes:
        return math.inf if operation.position is None else operation.position + 0.5
    outcome = _found(operation, model)
    if outcome is None or not (operation.told or outcome.verdict == "applied"):
        return math.inf
    return outcome.position


def _keyed(operation: Operation, model: Model) -> Operation:
    """A create whose id a node made, with that id."""
    if operation.kind != "create" or "id" in operation.request["row"]:
        return operation
    outcome = _found(operation, model)
    if outcome is None or outcome.verdict != "applied" or not outcome.written:
        return operation
    row = {**operation.request["row"], "id": outcome.written[0][1]}
    return replace(operation, request={**operation.request, "row": row})


def _hidden(history: Sequence[Operation], model: Model) -> set[Place]:
    """Rows written by events that no operation with a known row stands for."""
    named = _named(history, model)
    unnamed = {
        place for o in history if o.writes and o.event is None and not o.told for place in places(o)
    }
    return {
        (fold(table), key)
        for event, outcome in model.records.values()
        if event is not None and event.operation in ROWS | {"TRANSACTION"}
        for table, key, _ in outcome.written
        if event.id not in named and (fold(table), key) not in unnamed
    }


def _named(writes: Sequence[Operation], model: Model) -> set[str]:
    """Event ids that an operation names, itself or by the position that it was told."""
    return {o.event for o in writes if o.event} | {
        model.records[o.position][1].event
        for o in writes
        if o.writes and o.event is None and o.told and o.position in model.records
    }


def _merged(history: Sequence[Operation]) -> list[Operation]:
    """One operation for each event id: from its first try to its first definite answer."""
    merged: list[Operation] = []
    tries: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        if operation.writes and operation.event is not None:
            tries[operation.event].append(operation)
        else:
            merged.append(operation)
    for own in tries.values():
        begun = min(o.begun for o in own)
        told = [o for o in own if o.told or o.status == "never"]
        left = [o for o in own if o.status != "failed"] or own
        best = min(told, key=lambda o: o.ended or 0.0) if told else left[0]
        merged.append(best if best.begun == begun else replace(best, begun=begun))
    return sorted(merged, key=lambda o: o.begun)


def _position(operation: Operation) -> int:
    return -1 if operation.position is None else operation.position
