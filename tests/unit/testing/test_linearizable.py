"""The search: histories that some order explains pass, and those that none explains do not."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from clusterlite.testing.history import Operation
from clusterlite.testing.history.linearizable import linearizable, search


def row(value: int) -> dict[str, Any]:
    return {"id": "a", "n": value}


def put(begun: float, ended: float, value: int, version: int | None, **more: Any) -> Operation:
    request: dict[str, Any] = {"table": "t", "row": row(value)}
    request |= {"if": more.pop("condition")} if "condition" in more else {}
    facts: dict[str, Any] = {"status": "done", "version": version, **more}
    return Operation("c", "put", request, begun, ended, **facts)


def read(begun: float, ended: float, value: int | None, version: int | None = None) -> Operation:
    told = None if value is None else row(value)
    request = {"table": "t", "key": "a"}
    facts: dict[str, Any] = {"status": "done", "level": "strong", "value": told}
    return Operation("r", "read", request, begun, ended, version=version, **facts)


def transfer(begun: float, ended: float, keys: str, value: int) -> Operation:
    changes = [
        {"operation": "UPDATE", "table_name": "t", "data": {"id": key, "n": value}} for key in keys
    ]
    return Operation("c", "transaction", {"changes": changes}, begun, ended, status="done")


GOOD = {
    "one after the other": [put(0, 1, 1, 1), read(2, 3, 1, 1)],
    "overlapping, seen": [put(0, 9, 1, 1), read(1, 2, 1)],
    "overlapping, not seen yet": [put(0, 9, 1, 1), read(1, 2, None)],
    "two races, either order": [put(0, 9, 1, 2), put(0, 9, 2, 1), read(10, 11, 1)],
    "unknown, landed late": [
        put(0, 1, 1, 1),
        put(2, 3, 2, 2, status="unknown"),
        read(4, 5, 1),
        read(6, 7, 2),
    ],
    "unknown, never landed": [put(0, 1, 1, 1, status="unknown"), read(4, 5, None)],
    "a race lost to one whose version nobody was told": [
        put(0, 1, 1, 1),
        put(2, 3, 2, None, status="unknown"),
        put(4, 5, 3, 3, condition={"version": 1}, status="rejected", code="precondition_failed"),
    ],
    "a race won against one whose version nobody was told": [
        put(2, 3, 2, None, status="unknown"),
        put(4, 5, 3, 3, condition={"version": 2}),
    ],
    "a lost race": [
        put(0, 1, 1, 1),
        put(2, 9, 2, 2, condition={"version": 1}),
        put(2, 9, 3, 3, condition={"version": 1}, status="rejected", code="precondition_failed"),
    ],
}
BAD = {
    "a lost write": [put(0, 1, 1, 1), read(2, 3, None)],
    "a phantom": [read(0, 1, 1)],
    "a stale read": [put(0, 1, 1, 1), put(2, 3, 2, 2), read(4, 5, 1)],
    "back in time": [put(0, 9, 1, 1), read(1, 2, 1), read(3, 4, None)],
    "failed, and seen": [put(0, 1, 1, 1, status="failed"), read(2, 3, 1)],
    "closed, and seen": [put(0, 1, 1, 1, status="never"), read(2, 3, 1)],
    "a wrong version": [put(0, 1, 1, 1), read(2, 3, 1, 7)],
    "two winners": [
        put(0, 1, 1, 1),
        put(2, 9, 2, 2, condition={"version": 1}),
        put(2, 9, 3, 3, condition={"version": 1}),
    ],
    "rejected without a reason": [
        put(0, 1, 1, 1),
        put(2, 3, 2, 2, condition={"version": 1}, status="rejected", code="precondition_failed"),
    ],
    "half a transaction": [
        transfer(0, 1, "ab", 1),
        transfer(2, 9, "ab", 2),
        read(3, 4, 2),
        transfer(5, 6, "b", 3),
        read(7, 8, 1),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_some_order_explains(name: str) -> None:
    assert [found.linearizable for found in search(GOOD[name])] == [True]


@pytest.mark.parametrize("name", BAD)
def test_a_history_that_no_order_explains(name: str) -> None:
    assert [found.linearizable for found in search(BAD[name])] == [False]


def overlapping(count: int, seed: int) -> list[Operation]:
    """Reads and writes of one row that took effect in order, with eight under way at a time."""
    chance, value, made = random.Random(seed), 0, [put(-2, -1, 0, 0)]
    for number in range(1, count):
        begun, ended = number - 4 * chance.random(), number + 4 * chance.random()
        if chance.random() < 0.5:
            value = number
            made.append(put(begun, ended, value, number))
        else:
            made.append(read(begun, ended, value))
    return made


def test_a_thousand_operations_on_one_row_take_well_under_a_second() -> None:
    history = overlapping(1000, seed=1)
    began = time.process_time()
    assert linearizable(history) is True
    assert time.process_time() - began < 1.0


def test_one_old_value_among_a_thousand_is_found() -> None:
    history = overlapping(1000, seed=2)
    assert linearizable([*history, read(2000, 2001, 0)]) is False


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_what_is_tried_first_changes_no_verdict(name: str) -> None:
    for seed in range(5):
        ranks = random.Random(seed)
        found = search({**GOOD, **BAD}[name], order=lambda _, ranks=ranks: ranks.random())
        assert [one.linearizable for one in found] == [name in GOOD]


def test_a_good_order_spares_the_search() -> None:
    history = overlapping(400, seed=4)
    place = {id(o): n for n, o in enumerate(history)}
    assert linearizable(history, steps_max=401, order=lambda o: place[id(o)]) is True


def test_a_search_without_an_end_is_given_up() -> None:
    assert linearizable(overlapping(100, seed=3), steps_max=10) is None


def test_rows_that_nothing_joins_are_judged_apart() -> None:
    other = Operation("c", "delete", {"table": "t", "key": "b"}, 0, 1, status="done")
    found = search([put(0, 1, 1, 1), other])
    assert sorted(len(f.operations) for f in found) == [1, 1]
    assert sorted(f.linearizable is True for f in found) == [False, True]
