"""The check of a history: a good one passes, and each way of being wrong is named."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterlite import Node
from clusterlite.errors import Rejected
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.testing.history import Model, Operation, Record, Recorder, Replica, check
from tests.nodes import User, user

TIME = "2026-11-22T20:00:00Z"
Run = tuple[list[Operation], list[Record], list[Replica]]


def event(event_id: str, operation: str, table: str = "", data: Any = None, **more: Any) -> bytes:
    spelled = {"id": event_id, "operation": operation, "table_name": table, "data": data or {}}
    ours = {"timestamp": TIME, "format": 1, "cluster": "c", "after": 0, "schema": 1}
    return json.dumps({**spelled, **ours, **more}).encode()


COLUMNS = [{"name": "n", "type": "integer"}]
FOUNDED = [
    event("g", "GENESIS"),
    event("s", "SCHEMA", "t", {"table": "t", "columns": COLUMNS}),
]


def row(key: str, n: int) -> dict[str, Any]:
    return {"id": key, "n": n}


def sequential(seed: int, count: int = 30) -> Run:
    """One operation after the other, by three clients, each told what is so."""
    chance, values, model = random.Random(seed), list(FOUNDED), Model()
    for position, value in enumerate(values):
        model.feed(Record(position, 0, value))
    history: list[Operation] = []
    for number in range(count):
        key, client, times = (
            chance.choice("abc"),
            f"c-{number % 3}",
            (2.0 * number, 2.0 * number + 1),
        )
        kind = chance.choice(["create", "put", "put", "delete", "read", "list"])
        if kind in {"read", "list"}:
            cell = model.row("t", key)
            cells = [cell for _, cell in sorted(model.tables["t"].cells.items())]
            value: Any = [c.row for c in cells] if kind == "list" else cell and cell.row
            request = {"table": "t"} if kind == "list" else {"table": "t", "key": key}
            facts = {"position": model.position, "value": value, "level": "strong"}
            facts |= {"version": cell.version} if kind == "read" and cell else {}
            history.append(Operation(client, kind, request, *times, status="done", **facts))
            continue
        names = {"create": "INSERT", "put": "UPDATE", "delete": "DELETE"}
        data = {"id": key} if kind == "delete" else row(key, number)
        position = len(values)
        values.append(event(f"e-{number}", names[kind], "t", data))
        outcome = model.feed(Record(position, 0, values[-1]))
        status = "done" if outcome.verdict == "applied" else "rejected"
        version = position if status == "done" and kind != "delete" else None
        request = {"table": "t", **({"key": key} if kind == "delete" else {"row": data})}
        told = {"event": f"e-{number}", "code": outcome.code, "position": position}
        history.append(
            Operation(client, kind, request, *times, status=status, version=version, **told)
        )
    rows = {key: cell.row for key, cell in model.tables["t"].cells.items()}
    versions = {key: cell.version for key, cell in model.tables["t"].cells.items()}
    replicas = [
        Replica(name, model.position, {"running": "ab"}, {"t": rows}, {"t": versions})
        for name in ("n-1", "n-2")
    ]
    return history, [Record(p, 0, value) for p, value in enumerate(values)], replicas


def rules(run: Run) -> set[str]:
    history, log, replicas = run
    return {violation.rule for violation in check(history, log, replicas)}


@pytest.mark.parametrize("seed", range(20))
def test_a_history_told_as_it_was_passes(seed: int) -> None:
    history, log, replicas = sequential(seed)
    assert check(history, log, replicas) == []


def some(history: list[Operation], holds: Callable[[Operation], bool]) -> int:
    return [index for index, told in enumerate(history) if holds(told)][-1]


def wrote(told: Operation) -> bool:
    return told.kind in {"create", "put"} and told.status == "done"


def drop_a_record(run: Run) -> None:
    history, log, _ = run
    told = history[some(history, wrote)]
    log.remove(next(record for record in log if record.position == told.position))


def swap_two_records(run: Run) -> None:
    history, log, _ = run
    here = history[some(history, wrote)].position or 0
    log[here], log[2] = (
        log[here]._replace(value=log[2].value),
        log[2]._replace(value=log[here].value),
    )


def told(holds: Callable[[Operation], bool], **facts: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        history = run[0]
        index = some(history, holds)
        history[index] = replace(history[index], **facts)

    return change


def saw(told: Operation) -> bool:
    return told.kind == "read" and told.value is not None


MUTATIONS: list[tuple[Callable[[Run], None], set[str]]] = [
    (drop_a_record, {"lost"}),
    (swap_two_records, {"wrong_position"}),
    (told(wrote, version=2), {"wrong_version"}),
    (told(wrote, position=2), {"wrong_position", "went_back", "out_of_order"}),
    (told(wrote, value=row("a", -1)), {"wrong_value"}),
    (told(wrote, status="rejected", code="exists"), {"wrong_outcome", "not_linearizable"}),
    (told(wrote, status="failed"), {"failed_but_written"}),
    (told(wrote, status="never"), {"never_but_written"}),
    (told(lambda o: o.status == "rejected", status="done", code=None), {"wrong_outcome"}),
    (told(saw, value=row("a", -1)), {"wrong_value", "not_linearizable"}),
    (told(saw, value=None, version=None), {"wrong_value", "not_linearizable"}),
    (told(saw, position=1, value=None, version=None), {"stale_read", "not_linearizable"}),
    (told(saw, position=1, level="session", value=None, version=None), {"went_back"}),
    (told(lambda o: o.kind == "list", value=[]), {"wrong_value"}),
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", range(len(MUTATIONS)))
def test_one_thing_told_or_kept_otherwise_is_seen(number: int, seed: int) -> None:
    run = sequential(seed, count=60)
    mutate, wanted = MUTATIONS[number]
    mutate(run)
    assert wanted <= rules(run)


def test_an_event_that_nobody_asked_for_is_a_phantom() -> None:
    history, log, _ = sequential(1)
    log.append(Record(len(log), 0, event("x", "UPDATE", "t", row("z", 1))))
    (found,) = check(history, log)
    assert (found.rule, found.positions) == ("phantom", (len(log) - 1,))
    assert check(history, log, since=len(log)) == []
    unnamed = Operation("c-9", "put", {"table": "t", "row": row("z", 1)}, 0.0)
    assert check([*history, unnamed], log) == []
    again = event("y", "UPDATE", "t", row("z", 1))  # the same request, under a second id
    assert rules(([*history, unnamed], [*log, Record(len(log), 0, again)], [])) == {"phantom"}


def test_a_record_that_stands_twice_has_one_effect() -> None:
    history, log, _ = sequential(1)
    index = some(history, wrote)
    log.append(Record(len(log), 0, log[history[index].position or 0].value))
    assert check(history, log) == []
    twice = Replica("n", len(log) - 1, tables={"t": {}}, versions={})
    assert {v.rule for v in check(history, log, [twice])} == {"rows_differ"}


def test_an_unknown_write_that_was_closed_and_appears_later_has_no_effect() -> None:
    asked = Operation("c", "put", {"table": "t", "row": row("a", 1)}, 0.0, 1.0, "never", "e")
    values = [*FOUNDED, event("e", "FENCE"), event("e", "UPDATE", "t", row("a", 1))]
    log = [Record(position, 0, value) for position, value in enumerate(values)]
    assert check([asked], log) == []
    log[2], log[3] = log[2]._replace(value=log[3].value), log[3]._replace(value=log[2].value)
    assert rules(([asked], log, [])) == {"never_but_written"}


def test_replicas_with_other_hashes_rows_or_versions_differ() -> None:
    history, log, (first, second) = sequential(3)
    other = replace(second, hashes={"running": "cd"})
    assert rules((history, log, [first, other])) == {"hashes_differ"}
    assert (
        rules((history, log, [first, replace(other, position=9, tables={}, versions={})])) == set()
    )
    key = next(iter(second.tables["t"]))
    lacking = {k: v for k, v in second.tables["t"].items() if k != key}
    assert rules((history, log, [replace(second, tables={"t": lacking})])) == {"rows_differ"}
    assert rules((history, log, [replace(second, versions={"t": {key: 1}})])) == {"rows_differ"}


def test_nodes_in_this_process_give_a_history_that_passes(tmp_path: Path) -> None:
    """Four threads create, replace by version and read strongly, at two nodes on one log."""
    store, recorder = MemoryStore(), Recorder()

    def work(node: Node, client: str) -> None:
        chance = random.Random(client)
        for number in range(12):
            key = chance.choice("abc")
            read = recorder.begin(client, "read", {"table": "users", "key": key}, level="strong")
            node.sync()
            found = node.get(User, key)
            made = user(f"{key}-{client}-{number}", key)
            shown = {"id": key, "name": made.name, "email": made.email}
            if found is None:
                read.done()
                call = recorder.begin(client, "create", {"table": "users", "row": shown})
            else:
                old = {"id": key, "name": found.name, "email": found.email}
                read.done(value=old, version=found.version)
                asked = {"table": "users", "row": shown, "if": {"version": found.version}}
                call = recorder.begin(client, "put", asked)
            try:
                version = found.version if found else None
                done = node.update(made, if_version=version) if found else node.create(made)
                call.done(position=done.version, version=done.version)
            except Rejected as refused:
                call.rejected(refused.code, position=refused.position, event=refused.event_id)

    def start(name: str) -> Node:
        return Node(tmp_path / name, MemoryLog(store), [User], node_id=name)

    with start("n-1") as first, start("n-2") as second:
        threads = [
            threading.Thread(target=work, args=(node, f"{node.node_id}-{number}"))
            for node in (first, second)
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for node in (first, second):
            node.sync()
        replicas = [
            Replica(
                node.node_id,
                node.position,
                {"running": str(node.status()["hash"])},
                {"users": {u.id: {"id": u.id, "name": u.name, "email": u.email} for u in rows}},
                {"users": {u.id: u.version for u in rows}},
            )
            for node in (first, second)
            for rows in [node.list(User)]
        ]
    history = recorder.history()
    assert {o.status for o in history} >= {"done"}
    assert len(history) == 4 * 12 * 2
    assert check(history, store.records, replicas) == []
    index = some(history, saw)
    history[index] = replace(history[index], value=None, version=None)
    assert {v.rule for v in check(history, store.records)} == {"not_linearizable"}
