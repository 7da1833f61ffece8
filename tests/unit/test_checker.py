"""The cluster checker judged on forged histories: a clean one passes, each fault is named."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from clusterlite.testing.faults import check_load
from clusterlite.testing.faults.check_load import Answer, Operation
from clusterlite.testing.faults.check_model import Model, check_contents, check_equal, check_history

HASH = "ab" * 32


@dataclass
class Run:
    """What a run of the checker gathers: here a clean one, for tests to forge."""

    topic: list[bytes]
    history: list[Operation]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, dict[str, int]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    def judge(self) -> list[str]:
        model = Model()
        for position, value in enumerate(self.topic):
            model.feed(position, value)
        unknown = [o for o in self.history if o.fate.startswith("unknown")]
        wrong = check_history(self.history, unknown, model)
        for name, rows in self.rows.items():
            wrong += check_contents(name, rows, self.versions[name], model)
        return wrong + check_equal("running hashes", self.hashes)


def event(event_id: str, operation: str, data: dict[str, Any], table: str = "users") -> bytes:
    return json.dumps(
        {"id": event_id, "operation": operation, "table_name": table, "data": data}
    ).encode()


def row(key: str, name: str) -> dict[str, Any]:
    return {"id": key, "name": name, "email": "x"}


def operation(number: int, kind: str, fate: str, event_id: str | None, **more: Any) -> Operation:
    """An operation that was asked at second `2 * number` and answered a second later."""
    made = Operation(0, kind, f"w-{number}", None, None, 2.0 * number, 2.0 * number + 1)
    return replace(made, **{"attempts": 1, "event": event_id, "fate": fate, **more})


@pytest.fixture
def run() -> Run:
    topic = [
        event("genesis", "GENESIS", {}, ""),
        event("schema", "SCHEMA", {}, "users"),
        event("e-1", "INSERT", row("a", "w-1")),
        event("e-2", "INSERT", row("b", "w-2")),
        event("e-2", "INSERT", row("b", "w-2")),  # sent again by its producer
        event("barrier", "BARRIER", {}, ""),
        event("e-3", "UPDATE", row("a", "w-3")),
        event("e-4", "DELETE", {"id": "b"}),
        event("e-5", "DELETE", {"id": "b"}),  # not there any more
        event("e-7", "INSERT", row("c", "w-7")),
        event("e-8", "FENCE", {}, ""),
        event("e-9", "INSERT", row("d", "w-9")),
    ]
    history = [
        operation(1, "create", "done", "e-1", row="a", status=201, position=2),
        operation(2, "create", "done", "e-2", row="b", status=201, position=3),
        operation(3, "update", "done", "e-3", row="a", status=200, position=6),
        operation(4, "delete", "done", "e-4", row="b", status=204, position=7),
        operation(5, "delete", "rejected", "e-5", row="b", status=404, position=8),
        operation(6, "create", "refused", None, status=503),
        operation(7, "create", "unknown, then applied", "e-7", status=504),
        operation(8, "create", "unknown, then never", "e-8", status=504),
        operation(9, "create", "unknown", None),
        operation(10, "create", "unknown", None),
    ]
    rows = [row("a", "w-3"), row("c", "w-7"), row("d", "w-9")]
    names = ("n1", "n2", "n3")
    return Run(
        topic,
        history,
        {name: list(rows) for name in names},
        {name: {"a": 6, "c": 9, "d": 11} for name in names},
        dict.fromkeys(names, HASH),
    )


def violation(run: Run) -> str:
    """All that the checker says, which must be something."""
    wrong = run.judge()
    assert wrong, "the checker saw nothing"
    return "\n".join(wrong)


def test_a_clean_history_passes(run: Run) -> None:
    assert run.judge() == []
    assert run.history[8].fate == "unknown, then found"
    assert run.history[9].fate == "unknown, then not found"


def test_an_acknowledged_write_that_is_not_in_the_topic(run: Run) -> None:
    run.topic[6] = event("barrier", "BARRIER", {}, "")
    assert "answered 200 and not in the topic: " in violation(run)
    assert "w-3" in violation(run)


def test_an_acknowledged_write_that_a_node_lost(run: Run) -> None:
    del run.rows["n2"][0]
    assert violation(run) == "n2: row a is None, not " + str(row("a", "w-3"))


def test_a_write_that_was_refused_and_stands_in_the_topic(run: Run) -> None:
    run.topic.append(event("e-6", "INSERT", row("f", "w-6")))
    for rows in run.rows.values():
        rows.append(row("f", "w-6"))
    assert "refused as not written, and in the topic: " in violation(run)
    assert "w-6" in violation(run)


def test_a_delete_that_was_refused_and_stands_in_the_topic(run: Run) -> None:
    run.history.append(operation(11, "delete", "refused", None, row="a", status=503))
    run.topic.append(event("e-11", "DELETE", {"id": "a"}))
    for rows in run.rows.values():
        del rows[0]
    for versions in run.versions.values():
        del versions["a"]
    assert violation(run) == (
        "refused as not written, and in the topic: DELETE of a under ['e-11']"
    )
    run.history[-1].fate = "unknown"
    assert run.judge() == []


def test_a_row_that_nobody_wrote(run: Run) -> None:
    run.rows["n1"].append(row("x", "phantom"))
    assert violation(run) == f"n1: row x is {row('x', 'phantom')}, not None"


def test_an_event_applied_twice_shows_in_the_version(run: Run) -> None:
    run.topic.append(run.topic[6])  # the same event id again, at position 12
    run.versions["n3"]["a"] = 12
    assert violation(run) == "n3: row a has version 12, not 6"


def test_an_event_applied_twice_shows_in_a_row_that_comes_back(run: Run) -> None:
    run.topic.append(run.topic[3])  # the INSERT of a row that was deleted since
    run.rows["n3"].append(row("b", "w-2"))
    assert violation(run) == f"n3: row b is {row('b', 'w-2')}, not None"


def test_a_row_listed_twice(run: Run) -> None:
    run.rows["n1"].append(run.rows["n1"][0])
    assert violation(run) == "n1 has 4 rows, 3 keys"


def test_a_clients_value_under_two_event_ids(run: Run) -> None:
    run.topic.append(event("e-1-again", "INSERT", row("f", "w-1")))
    for rows in run.rows.values():
        rows.append(row("f", "w-1"))
    assert "w-1 stands under 2 event ids" in violation(run)


def test_a_wrong_position_told(run: Run) -> None:
    run.history[2].position = 5
    assert "answered with another position than 6: " in violation(run)


def test_a_wrong_version_told(run: Run) -> None:
    run.versions["n1"]["c"] = 8
    assert violation(run) == "n1: row c has version 8, not 9"


def test_a_success_told_of_a_rejected_write(run: Run) -> None:
    run.history[4].fate = "done"
    assert "answered otherwise than judged (not_found): " in violation(run)


def test_a_rejection_told_of_an_applied_write(run: Run) -> None:
    run.history[3].fate = "rejected"
    assert "answered otherwise than judged (applied): " in violation(run)


def test_a_write_that_stands_before_one_that_was_answered_earlier(run: Run) -> None:
    run.history[1].start, run.history[1].end = 100.0, 101.0
    assert "and stands before it: " in violation(run)
    assert "w-2" in violation(run)


def test_replicas_that_differ(run: Run) -> None:
    run.hashes["n2"] = "cd" * 32
    assert "running hashes differ: " in violation(run)
    assert "n2" in violation(run)


@pytest.mark.parametrize("said", ["never", "unseen", "rejected", "None"])
def test_an_unknown_write_settled_as_something_else_than_applied(run: Run, said: str) -> None:
    run.history[6].fate = f"unknown, then {said}"
    assert f"settled as {said}, and the topic says applied: " in violation(run)


def test_an_unknown_write_settled_as_never_that_was_applied_before_its_fence(run: Run) -> None:
    run.topic[10] = event("e-8", "INSERT", row("f", "w-8"))
    run.topic.append(event("e-8", "FENCE", {}, ""))
    for rows in run.rows.values():
        rows.append(row("f", "w-8"))
    assert "settled as never, and the topic says applied: " in violation(run)


def test_an_unknown_write_settled_as_applied_that_was_closed(run: Run) -> None:
    run.history[7].fate = "unknown, then applied"
    assert "settled as applied, and the topic says never: " in violation(run)


class Link:
    """Answers a request with one status after the other; 0 stands for no answer at all."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    async def request(self, *_: Any) -> Answer | None:
        status = self.statuses.pop(0)
        return Answer(status, {}, b"") if status else None


@pytest.mark.parametrize(
    ("key", "statuses", "fate"),
    [
        (None, (503,), "refused"),
        (None, (0,), "unknown"),
        ("k", (503, 503, 503), "refused"),
        ("k", (0, 503, 503), "unknown"),
        ("k", (504, 503, 503), "unknown"),
        ("k", (503, 0, 201), "done"),
    ],
)
def test_a_refusal_says_nothing_of_the_tries_before_it(
    monkeypatch: pytest.MonkeyPatch, key: str | None, statuses: tuple[int, ...], fate: str
) -> None:
    monkeypatch.setattr(check_load, "RETRY_S", 0)
    monkeypatch.setattr(check_load, "ATTEMPTS_MAX", len(statuses))
    tried = Operation(0, "create", "w-1", None, key)
    asyncio.run(check_load._write(Link(*statuses), tried))  # type: ignore[arg-type]
    assert tried.fate == fate
