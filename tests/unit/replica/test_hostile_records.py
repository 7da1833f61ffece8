"""What other producers may write, by mistake or on purpose, without harm to anything else."""

from __future__ import annotations

import json

import pytest

from clusterlite.core.codec import encode
from clusterlite.core.entity import Entity, Field
from clusterlite.core.schema import COLUMNS_MAX
from clusterlite.replica.outcomes import find_outcome
from tests.support import Replica, foreign

ANN = {"id": "u1", "name": "Ann", "email": "ann@example.com"}


def columns(count: int, start: int = 0) -> dict[str, str]:
    return {"id": "a", **{f"c{number}": "x" for number in range(start, start + count)}}


def test_an_undeclared_table_grows_up_to_the_limit_of_columns(replica: Replica) -> None:
    assert replica.one(foreign("INSERT", "wide", columns(COLUMNS_MAX))).verdict == "applied"
    assert replica.one(foreign("INSERT", "wide", columns(1, COLUMNS_MAX))).code == "invalid"
    assert replica.one(foreign("INSERT", "wide", columns(10, 5))).verdict == "applied"
    assert len(replica.applier.tables["wide"].schema.columns) == COLUMNS_MAX


@pytest.mark.parametrize("count", [COLUMNS_MAX + 1, 2_500])
def test_a_record_with_too_many_keys_is_invalid_and_makes_no_table(
    replica: Replica, count: int
) -> None:
    assert replica.one(foreign("INSERT", "wide", columns(count))).code == "invalid"
    assert "wide" not in replica.applier.tables
    assert replica.one(foreign("INSERT", "wide", {"id": "a", "n": 1})).verdict == "applied"


@pytest.mark.parametrize("operation", ["INSERT", "UPDATE", "DELETE"])
def test_an_empty_id_is_invalid(replica: Replica, operation: str) -> None:
    assert replica.one(foreign(operation, "users", {**ANN, "id": ""})).code == "invalid"


def test_a_bad_record_that_bears_an_applied_events_id_changes_nothing_about_it(
    replica: Replica,
) -> None:
    event = replica.event("INSERT", ANN, event_id="e-1")
    applied = replica.one(event)
    elsewhere = json.dumps({**json.loads(event), "cluster": "c-2"}).encode()
    shapeless = json.dumps({**json.loads(event), "operation": "EXPLODE"}).encode()
    # Whoever waits for the event is told what became of it, not of its namesake.
    assert replica.one(elsewhere) == applied
    assert replica.one(shapeless) == applied
    assert replica.applier.state.position == applied.position + 2
    found = find_outcome(replica.connection, "e-1", replica.applier.state.floor)
    assert found is not None
    assert (found.verdict, found.position) == ("applied", applied.position)
    assert replica.one(event) == applied
    assert replica.version("u1") == applied.position


def test_unique_fields_of_tables_with_alike_names_are_both_unique(replica: Replica) -> None:
    class Order(Entity, table="order"):
        item_sku: str = Field(unique=True)

    class Item(Entity, table="order_item"):
        sku: str = Field(unique=True)

    replica.found(Order, Item)
    for table, field in (("order", "item_sku"), ("order_item", "sku")):
        assert replica.one(replica.event("INSERT", {"id": "1", field: "x"}, table)).code is None
        again = replica.one(replica.event("INSERT", {"id": "2", field: "x"}, table))
        assert (again.code, again.field) == ("unique", field)


@pytest.mark.parametrize("data", [{"window_s": 2**62}, {"window_positions": 10**13}, {"level": 0}])
def test_settings_beyond_all_bounds_are_invalid(replica: Replica, data: dict[str, int]) -> None:
    assert replica.one(encode(replica.stamp(), "SETTINGS", "", data)).code == "invalid"
    assert replica.one(replica.event("INSERT", ANN)).verdict == "applied"


def test_a_new_fields_default_may_hold_nul(replica: Replica) -> None:
    replica.one(replica.event("INSERT", ANN))

    class User(Entity, table="users"):
        name: str
        email: str
        note: str = "a\0b"

    declaration = User.declaration
    outcome = replica.one(
        encode(replica.stamp(), "SCHEMA", declaration.name, declaration.to_json())
    )
    assert outcome.verdict == "applied", outcome
    assert replica.rows() == [{**ANN, "note": "a\0b"}]
