"""Each workload passes a sound history, and says what is wrong with a broken one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from clusterlite.testing.history import Operation
from clusterlite.testing.load.workloads import WORKLOADS

Rows = dict[str, dict[str, Any]]


def put(number: int, row: dict[str, Any], status: str = "done", **more: Any) -> Operation:
    """Asked at second `number`, answered half a second later."""
    facts = {"client": "c", "kind": "put", "request": {"table": "t", "row": row}, **more}
    return Operation(begun=number, ended=number + 0.5, status=status, **facts)


def create(number: int, row: dict[str, Any], status: str = "done", **more: Any) -> Operation:
    return put(number, row, status, kind="create", **more)


def read(number: int, key: str, value: Any, version: int | None = None, **more: Any) -> Operation:
    request = {"table": "t", "key": key}
    return Operation(
        more.get("client", "c"), "read", request, number, number + 0.5, "done",
        version=version, value=value,
    )  # fmt: skip


def listed(number: int, rows: Sequence[dict[str, Any]], position: int = 9) -> Operation:
    return Operation(
        "c", "list", {"table": "t"}, number, number + 0.5, "done",
        position=position, value=list(rows),
    )  # fmt: skip


def wrong(name: str, history: Sequence[Operation], rows: Rows, **shape: int) -> list[str]:
    return list(WORKLOADS[name](**shape).check(history, rows))


def rows_of(*rows: dict[str, Any]) -> Rows:
    return {row["id"]: row for row in rows}


def r(value: str) -> dict[str, Any]:
    return {"id": "r", "value": value}


def test_register() -> None:
    history = [put(1, r("a")), read(2, "r", r("a"), 5), put(3, r("b")), put(4, r("c"), "never")]
    assert wrong("register", history, rows_of(r("b"))) == []
    assert wrong("register", history, rows_of(r("c"))) == ["r is c, which nobody may have written"]
    twice = [*history, read(5, "r", r("b"), 5)]
    assert "('r', 5) was read as a and as b" in wrong("register", twice, rows_of(r("b")))
    assert wrong("register", [*history, read(5, "r", r("x"), 6)], {}) == [
        "r is x, which nobody may have written"
    ]


def n(value: int, key: str = "k") -> dict[str, Any]:
    return {"id": key, "n": value}


@pytest.mark.parametrize(
    ("unknown", "final", "sound"),
    [(0, 2, True), (0, 1, False), (0, 3, False), (1, 3, True), (1, 4, False)],
)
def test_counter(unknown: int, final: int, sound: bool) -> None:
    history = [put(1, n(1)), put(2, n(2)), put(3, n(2), "rejected"), put(4, n(3), "failed")]
    history += [put(5, n(3), "unknown")] * unknown
    assert (wrong("counter", history, rows_of(n(final))) == []) is sound


def test_a_counter_that_is_gone() -> None:
    assert wrong("counter", [put(1, n(1))], {}) == ["k is 0 after 1 successes"]


def values(*found: str) -> dict[str, Any]:
    return {"id": "l", "values": list(found)}


def test_append() -> None:
    history = [put(1, values("a")), read(2, "l", values("a")), read(3, "l", None)]
    append = {"table": "t", "key": "l", "fields": {"values": ["a", "b"]}}
    history.append(Operation("c", "patch", append, 4.0, 4.5, "done"))
    assert wrong("append", history, rows_of(values("a", "b", "c"))) == []
    assert wrong("append", history, rows_of(values("a", "c", "b")))
    assert wrong("append", history, {})
    assert wrong("append", [*history, read(5, "l", values("b"))], rows_of(values("a", "b")))
    assert wrong("append", [], rows_of(values("a", "a")))


def test_session() -> None:
    history = [put(1, n(1, "c")), read(2, "c", n(1, "c")), put(3, n(2, "c"))]
    history.append(read(4, "c", n(2, "c")))
    assert wrong("session", history, rows_of(n(2, "c"))) == []
    assert wrong("session", history, rows_of(n(1, "c")))
    assert wrong("session", [*history, read(5, "c", n(1, "c"))], rows_of(n(2, "c")))
    assert wrong("session", [*history, read(5, "c", None)], rows_of(n(2, "c")))


def test_a_session_may_meet_a_write_again_that_it_was_not_sure_of() -> None:
    late = put(1, n(1, "c"))
    late = Operation(**{**late.to_json(), "ended": 99.0})
    history = [late, read(2, "c", None), put(3, n(2, "c")), read(4, "c", n(1, "c"))]
    assert wrong("session", history, rows_of(n(1, "c"))) == []
    history[0] = put(1, n(1, "c"))
    assert wrong("session", history, rows_of(n(2, "c")))


def account(number: int, balance: int) -> dict[str, Any]:
    return {"id": f"a-{number}", "balance": balance}


def test_bank() -> None:
    opened = Operation("c", "transaction", {"changes": []}, 0.0, 0.5, "done", position=5)
    shape = {"accounts": 2, "balance": 10}
    good, moved = [account(0, 10), account(1, 10)], [account(0, 4), account(1, 16)]
    history = [opened, listed(1, [], 4), listed(2, good), listed(3, moved)]
    assert wrong("bank", history, rows_of(*moved), **shape) == []
    for bad in (
        [account(0, 4), account(1, 10)],
        [account(0, 20)],
        [],
        [account(0, -1), account(1, 21)],
    ):
        assert wrong("bank", [*history, listed(4, bad)], rows_of(*moved), **shape)
        assert wrong("bank", history, rows_of(*bad), **shape)


def test_fork() -> None:
    ahead, behind = [n(2, "x"), n(1, "y")], [n(1, "x"), n(2, "y")]
    start, end = [n(1, "x"), n(1, "y")], [n(2, "x"), n(2, "y")]
    assert wrong("fork", [listed(1, start), listed(2, ahead)], rows_of(*end)) == []
    assert wrong("fork", [listed(1, ahead), listed(2, behind)], rows_of(*end))
    assert wrong("fork", [listed(1, end)], rows_of(*ahead))
    assert wrong("fork", [listed(1, [n(1, "x")]), listed(2, [n(1, "y")])], rows_of(*end))


FIELD = {"set": "value", "overload": "value", "retry": "mark"}


@pytest.mark.parametrize("name", FIELD)
@pytest.mark.parametrize(
    ("statuses", "there", "sound"),
    [
        (["done"], 1, True),
        (["done"], 0, False),
        (["done"], 2, False),
        (["failed", "unknown", "done"], 1, True),
        (["failed", "unknown"], 1, True),
        (["failed", "unknown"], 0, True),
        (["unknown"], 2, False),
        (["failed"], 1, False),
        (["never"], 1, False),
        ([], 1, False),
    ],
)
def test_things_that_are_added(name: str, statuses: list[str], there: int, sound: bool) -> None:
    history = [create(at, {FIELD[name]: "w"}, status) for at, status in enumerate(statuses)]
    rows = rows_of(*({"id": f"i-{at}", FIELD[name]: "w"} for at in range(there)))
    assert (wrong(name, history, rows) == []) is sound


def test_a_retry_that_is_answered_otherwise() -> None:
    row, rows = {"mark": "w"}, rows_of({"id": "a", "mark": "w"})
    first = create(1, row, event="e", position=5)
    assert wrong("retry", [first, create(2, row, event="e", position=5)], rows) == []
    assert wrong("retry", [first, create(2, row, event="f", position=6)], rows)
    assert wrong("retry", [first, create(2, row, "rejected", event="e", code="exists")], rows)


def test_mixed() -> None:
    user = {"id": "u", "name": "w", "email": "x"}
    assert wrong("mixed", [create(1, {"name": "w"})], rows_of(user)) == []
    assert wrong("mixed", [create(1, {"name": "w"}, "unknown")], rows_of(user)) == []
    assert wrong("mixed", [create(1, {"name": "w"}, "failed")], rows_of(user)) == [
        "users/u is named w, which nobody may have written"
    ]
    patch = Operation("c", "patch", {"table": "users", "key": "u", "fields": {"name": "w"}}, 0.0)
    assert wrong("mixed", [patch], rows_of(user)) == []
