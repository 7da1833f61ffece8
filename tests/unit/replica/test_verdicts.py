"""Verdicts: what becomes of each kind of event, in each state that matters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterlite.core.codec import encode
from clusterlite.core.event import Change, Condition
from clusterlite.core.outcome import Outcome
from clusterlite.errors import Halt
from clusterlite.log.base import Record
from tests.support import Replica, User, foreign

ANN = {"id": "u1", "name": "Ann", "email": "ann@example.com"}
BEN = {"id": "u2", "name": "Ben", "email": "ben@example.com"}


def code(outcome: Outcome) -> str | None:
    return outcome.code if outcome.verdict == "rejected" else outcome.verdict


def test_insert_writes_the_row_with_the_position_as_version(replica: Replica) -> None:
    outcome = replica.one(replica.event("INSERT", ANN))
    assert code(outcome) == "applied"
    assert outcome.results[0].created
    assert replica.rows() == [ANN]
    assert replica.version("u1") == outcome.position


def test_insert_of_a_key_that_is_there_is_rejected(replica: Replica) -> None:
    first = replica.one(replica.event("INSERT", ANN))
    outcome = replica.one(replica.event("INSERT", {**ANN, "name": "Eve"}))
    assert (code(outcome), outcome.version) == ("exists", first.position)
    assert replica.rows() == [ANN]


def test_update_replaces_or_creates(replica: Replica) -> None:
    created = replica.one(replica.event("UPDATE", ANN))
    replaced = replica.one(replica.event("UPDATE", {**ANN, "name": "Anna"}))
    assert created.results[0].created
    assert not replaced.results[0].created
    assert replica.rows() == [{**ANN, "name": "Anna"}]


def test_patch_merges_and_two_of_different_fields_both_survive(replica: Replica) -> None:
    replica.one(replica.event("INSERT", ANN))
    replica.apply(
        replica.event("PATCH", {"id": "u1", "name": "A"}),
        replica.event("PATCH", {"id": "u1", "email": "b"}),
    )
    assert replica.rows() == [{"id": "u1", "name": "A", "email": "b"}]


def test_patch_and_delete_of_nothing_are_rejected(replica: Replica) -> None:
    assert code(replica.one(replica.event("PATCH", {"id": "x", "name": "A"}))) == "not_found"
    assert code(replica.one(replica.event("DELETE", {"id": "x"}))) == "not_found"


def test_delete_removes_the_row_and_its_key_may_come_back(replica: Replica) -> None:
    replica.one(replica.event("INSERT", ANN))
    assert code(replica.one(replica.event("DELETE", {"id": "u1"}))) == "applied"
    assert replica.rows() == []
    assert code(replica.one(replica.event("INSERT", ANN))) == "applied"


@pytest.mark.parametrize(
    ("data", "expected", "field"),
    [
        ({**ANN, "name": 7}, "datatype", "name"),
        ({**ANN, "name": None}, "not_null", "name"),
        ({"id": "u1", "email": "x"}, "invalid", "name"),
        ({**ANN, "age": 7}, "invalid", "age"),
        ({**ANN, "name": None, "email": 7}, "datatype", "email"),
        ({**ANN, "Name": "twice"}, "invalid", None),
    ],
)
def test_a_row_that_does_not_fit_is_rejected_with_its_field(
    replica: Replica, data: dict[str, object], expected: str, field: str | None
) -> None:
    outcome = replica.one(replica.event("INSERT", data))
    assert (code(outcome), outcome.field) == (expected, field)
    assert replica.rows() == []


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(version=2), True),
        (Condition(version=1), False),
        (Condition(present=True), True),
        (Condition(present=False), False),
    ],
)
@pytest.mark.parametrize("operation", ["UPDATE", "PATCH", "DELETE"])
def test_a_precondition_is_judged_at_apply(
    replica: Replica, operation: str, condition: Condition, holds: bool
) -> None:
    first = replica.one(replica.event("INSERT", ANN))
    assert first.position == 2
    outcome = replica.one(replica.event(operation, ANN, condition=condition))
    assert code(outcome) == ("applied" if holds else "precondition_failed")
    if not holds:
        assert outcome.version == first.position


def test_of_two_that_name_the_same_version_the_first_in_log_order_wins(replica: Replica) -> None:
    version = replica.one(replica.event("INSERT", ANN)).position
    first, second = replica.apply(
        replica.event("UPDATE", {**ANN, "name": "1"}, condition=Condition(version)),
        replica.event("UPDATE", {**ANN, "name": "2"}, condition=Condition(version)),
    )
    assert code(first) == "applied"
    assert (code(second), second.version) == ("precondition_failed", first.position)


def test_an_undeclared_table_is_unknown_to_our_own_events(replica: Replica) -> None:
    outcome = replica.one(replica.event("INSERT", {"id": "a"}, "orders"))
    assert code(outcome) == "unknown_table"


# Event ids.


def test_an_event_id_has_at_most_one_effect(replica: Replica) -> None:
    event = replica.event("INSERT", ANN, event_id="once")
    first, again = replica.apply(event, event)
    replica.one(replica.event("DELETE", {"id": "u1"}))
    last = replica.one(event)
    # Whoever waits is told the outcome that the id has.
    assert first == again == last
    assert replica.rows() == []


def test_a_rejection_uses_up_the_id_too(replica: Replica) -> None:
    event = replica.event("DELETE", {"id": "u1"}, event_id="early")
    assert code(replica.one(event)) == "not_found"
    replica.one(replica.event("INSERT", ANN))
    assert code(replica.one(event)) == "not_found"
    assert replica.rows() == [ANN]


def test_a_fence_closes_an_id_that_was_not_seen(replica: Replica) -> None:
    assert code(replica.one(encode(replica.stamp("late"), "FENCE"))) == "never"
    assert code(replica.one(replica.event("INSERT", ANN, event_id="late"))) == "never"
    assert replica.rows() == []


def test_a_fence_after_the_event_has_no_effect(replica: Replica) -> None:
    replica.one(replica.event("INSERT", ANN, event_id="landed"))
    assert code(replica.one(encode(replica.stamp("landed"), "FENCE"))) == "applied"
    assert replica.rows() == [ANN]


def test_a_barrier_moves_the_position_and_nothing_else(replica: Replica) -> None:
    before = replica.applier.state.position
    assert code(replica.one(encode(replica.stamp("b"), "BARRIER"))) == "applied"
    assert replica.applier.state.position == before + 1
    assert code(replica.one(replica.event("INSERT", ANN, event_id="b"))) == "applied"


# Transactions.


def change(operation: str, data: dict[str, object], condition: Condition | None = None) -> Change:
    return Change(operation, "users", str(data["id"]), dict(data), 1, condition)


def test_a_transaction_is_all(replica: Replica) -> None:
    outcome = replica.one(replica.transaction(change("INSERT", ANN), change("INSERT", BEN)))
    assert [result.key for result in outcome.results] == ["u1", "u2"]
    assert replica.rows() == [ANN, BEN]
    assert replica.version("u1") == replica.version("u2") == outcome.position


def test_or_none_and_names_the_change_that_failed(replica: Replica) -> None:
    replica.one(replica.event("INSERT", BEN))
    outcome = replica.one(replica.transaction(change("INSERT", ANN), change("INSERT", BEN)))
    assert (code(outcome), outcome.change) == ("exists", 1)
    assert replica.rows() == [BEN]


def test_its_preconditions_are_judged_before_its_first_change(replica: Replica) -> None:
    version = replica.one(replica.event("INSERT", ANN)).position
    outcome = replica.one(
        replica.transaction(
            change("UPDATE", {**BEN}),
            change("UPDATE", {**ANN, "name": "A"}, Condition(version)),
            change("DELETE", {"id": "u2"}),
        )
    )
    assert code(outcome) == "applied"
    assert replica.rows() == [{**ANN, "name": "A"}]


def test_an_assertion_guards_a_row_that_was_read(replica: Replica) -> None:
    version = replica.one(replica.event("INSERT", ANN)).position
    read = change("ASSERT", {"id": "u1"}, Condition(version))
    assert code(replica.one(replica.transaction(read, change("INSERT", BEN)))) == "applied"
    replica.one(replica.event("UPDATE", {**ANN, "name": "A"}))
    outcome = replica.one(replica.transaction(read, change("DELETE", {"id": "u2"})))
    assert (code(outcome), outcome.change) == ("precondition_failed", 0)


# The envelope.


def test_broken_bytes_have_an_outcome_under_their_position(replica: Replica) -> None:
    outcome = replica.one(b"\xff\xfe{")
    assert (code(outcome), outcome.event_id) == ("unreadable", f"@{outcome.position}")


def test_an_event_of_another_cluster_is_passed(replica: Replica) -> None:
    stamp = replica.stamp(cluster="another")
    assert code(replica.one(encode(stamp, "INSERT", "users", ANN))) == "foreign"


def test_a_newer_format_of_our_cluster_halts_and_of_another_is_passed(replica: Replica) -> None:
    newer = replica.event("INSERT", ANN).replace(b'"format":1', b'"format":2')
    other = newer.replace(b'"cluster":"c-1"', b'"cluster":"c-2"')
    assert code(replica.one(other)) == "foreign"
    with pytest.raises(Halt, match="too_new"):
        replica.one(newer)


def test_a_halt_keeps_what_stands_before_it(replica: Replica) -> None:
    newer = replica.event("INSERT", BEN).replace(b'"format":1', b'"format":2')
    with pytest.raises(Halt):
        replica.apply(replica.event("INSERT", ANN), newer)
    assert replica.rows() == [ANN]
    assert replica.applier.state.position == len(replica.log) - 2


def test_a_level_that_this_build_lacks_halts(replica: Replica) -> None:
    with pytest.raises(Halt, match="too_new"):
        replica.one(encode(replica.stamp(), "SETTINGS", "", {"level": 2}))


def test_the_first_genesis_wins(replica: Replica) -> None:
    outcome = replica.one(encode(replica.stamp(cluster="later"), "GENESIS"))
    assert code(outcome) == "applied"
    assert replica.applier.state.cluster == "c-1"


def test_our_events_before_genesis_are_foreign(empty: Replica) -> None:
    assert code(empty.one(encode(empty.stamp(), "INSERT", "users", ANN))) == "foreign"


def test_a_checkpoint_has_no_effect_on_rows(replica: Replica) -> None:
    data = {"position": 0, "hash": "00"}
    assert code(replica.one(encode(replica.stamp(), "CHECKPOINT", "", data))) == "applied"
    assert replica.rows() == []


# Events of the first program, before and after adoption.


def test_a_foreign_event_makes_its_table(empty: Replica) -> None:
    empty.apply(
        foreign("INSERT", "things", {"id": "a", "size": 1, "tags": ["x"]}),
        foreign("UPDATE", "things", {"id": "b", "size": "big", "new": True}),
        foreign("DELETE", "things", {"id": "none"}),
    )
    assert empty.rows("things") == [
        {"id": "a", "size": 1, "tags": ["x"], "new": None},
        {"id": "b", "size": "big", "tags": None, "new": True},
    ]


def test_a_foreign_insert_is_an_upsert(replica: Replica) -> None:
    replica.one(replica.event("INSERT", ANN))
    assert code(replica.one(foreign("INSERT", "users", {**ANN, "name": "A"}))) == "applied"
    assert replica.rows() == [{**ANN, "name": "A"}]


def test_adoption_turns_the_rows_into_declared_ones(empty: Replica) -> None:
    empty.one(foreign("INSERT", "users", {**ANN, "extra": 1}))
    version = empty.version("u1")
    empty.found(User)
    assert empty.rows() == [ANN]
    assert empty.version("u1") == version


def test_rows_that_do_not_fit_reject_the_declaration_and_are_named(empty: Replica) -> None:
    for number in range(12):
        empty.one(foreign("INSERT", "users", {"id": f"bad{number:02d}", "name": number}))
    empty.one(foreign("INSERT", "users", ANN))
    empty.one(encode(empty.stamp(), "GENESIS"))
    declaration = User.declaration.to_json()
    outcome = empty.one(encode(empty.stamp(), "SCHEMA", "users", declaration))
    assert code(outcome) == "not_adoptable"
    assert outcome.detail is not None
    assert outcome.detail.startswith("12 rows")
    assert "bad09 and 2 more" in outcome.detail
    assert len(empty.rows()) == 13
    assert code(empty.one(foreign("DELETE", "users", {"id": "bad00"}))) == "applied"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": "A"}, "invalid"),
        ({"id": 7, "name": "A"}, "invalid"),
        ({**ANN, "NAME": "again"}, "invalid"),
        ({**ANN, "_version": 5}, "invalid"),
        ({**ANN, "a b": 5}, "invalid"),
        ({"id": "u1", "name": "A"}, "invalid"),
        ({**ANN, "name": None}, "not_null"),
        ({**ANN, "name": 5}, "datatype"),
        ({**ANN, "more": 5}, "applied"),
    ],
)
def test_foreign_events_after_adoption(
    replica: Replica, data: dict[str, object], expected: str
) -> None:
    assert code(replica.one(foreign("INSERT", "users", data))) == expected


def test_a_foreign_event_without_an_id_is_named_by_its_position(replica: Replica) -> None:
    outcome = replica.one(foreign("INSERT", "users", ANN))
    assert outcome.event_id == f"@{outcome.position}"


def test_a_foreign_event_with_an_unknown_operation_is_passed(replica: Replica) -> None:
    assert code(replica.one(foreign("TRUNCATE", "users", ANN))) == "invalid"


def test_the_log_time_of_a_group_is_the_largest_in_it(replica: Replica) -> None:
    """The clock of a broker may step back; what is forgotten must not depend on batches."""
    start = len(replica.log)
    records = [
        Record(start + offset, time_ms, replica.event("INSERT", {**ANN, "id": f"t{offset}"}))
        for offset, time_ms in enumerate([10_000, 20_000, 15_000])
    ]
    replica.applier.apply(records)
    assert replica.applier.state.time_ms == 20_000


@pytest.mark.parametrize("cluster", ["", "c-1"])
@pytest.mark.parametrize(
    ("operation", "data", "changed"),
    [
        ("INSERT", ANN, {}),
        ("INSERT", ANN, {"format": 2}),
        ("BARRIER", {}, {}),
        ("FENCE", {}, {}),
        ("SETTINGS", {"level": 99}, {}),
        ("SETTINGS", {"cluster": "c-2"}, {}),
    ],
)
def test_before_a_genesis_an_event_is_of_no_cluster_not_even_of_the_empty_one(
    tmp_path: Path, operation: str, data: dict[str, Any], changed: dict[str, Any], cluster: str
) -> None:
    replica = Replica(tmp_path)
    event = {
        "id": "early",
        "operation": operation,
        "table_name": "users" if operation == "INSERT" else "",
        "data": data,
        "timestamp": "2026-11-22T20:00:00.123456Z",
        "format": 1,
        "cluster": cluster,
        "node": "n",
        "after": -1,
    }
    outcome = replica.one(json.dumps(event | changed).encode())
    assert code(outcome) == "foreign"
    assert replica.applier.state.cluster == ""
    replica.close()
