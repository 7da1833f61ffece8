"""However a log is cut into batches, every replica ends equal (I4, I9).

Records are drawn from a small world, so that keys, ids and values collide often: the grouped
path must fall back exactly where one at a time would reject.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlite.core.codec import encode, encode_transaction
from clusterlite.core.entity import Entity, Field
from clusterlite.core.event import Change, Condition, Stamp
from clusterlite.log.base import Record
from tests.support import CLUSTER, foreign, replay


class Thing(Entity, table="things"):
    name: str = Field(unique=True)
    size: int | None = None
    owner: str | None = Field(None, references="things")


class Plain(Entity, table="plain"):
    text: str


DECLARED = [
    encode(Stamp("g", "2026-11-22T20:00:00Z", CLUSTER, "n", -1), "GENESIS"),
    *(
        encode(
            Stamp(f"s-{entity.__name__}", "2026-11-22T20:00:00Z", CLUSTER, "n", -1),
            "SCHEMA",
            entity.declaration.name,
            entity.declaration.to_json(),
        )
        for entity in (Thing, Plain)
    ),
]

keys = st.sampled_from(["a", "b", "c", "d"])
ids = st.integers(0, 40).map("e-{}".format)
conditions = st.none() | st.sampled_from(
    [Condition(present=True), Condition(present=False), Condition(4), Condition(6)]
)


def row(key: str, name: str, size: Any, owner: str | None) -> dict[str, Any]:
    return {"id": key, "name": name, "size": size, "owner": owner}


rows = st.builds(
    row,
    keys,
    st.sampled_from(["x", "y", "z", "w"]),
    st.sampled_from([None, 1, "bad"]),
    st.none() | keys,
)
plain_rows = st.builds(lambda key, text: {"id": key, "text": text}, keys, st.text(max_size=3))


def stamp(event_id: str) -> Stamp:
    return Stamp(event_id, "2026-11-22T20:00:00Z", CLUSTER, "n", 0)


def own(event_id: str, operation: str, table: str, data: dict[str, Any], condition: Any) -> bytes:
    return encode(stamp(event_id), operation, table, data, schema=2, condition=condition)


def transaction(event_id: str, changes: list[tuple[str, dict[str, Any]]]) -> bytes:
    return encode_transaction(
        stamp(event_id), [Change(op, "things", data["id"], data, 2) for op, data in changes]
    )


operations = st.sampled_from(["INSERT", "UPDATE", "PATCH", "DELETE"])
records = st.one_of(
    st.builds(own, ids, operations, st.just("things"), rows, conditions),
    st.builds(own, ids, st.just("INSERT"), st.just("plain"), plain_rows, st.none()),
    st.builds(own, ids, operations, st.just("plain"), plain_rows, conditions),
    st.builds(transaction, ids, st.lists(st.tuples(operations, rows), min_size=1, max_size=4)),
    st.builds(
        foreign, st.sampled_from(["INSERT", "UPDATE", "DELETE"]), st.just("plain"), plain_rows
    ),
    st.builds(foreign, st.just("INSERT"), st.just("wild"), rows, ids),
    st.builds(lambda event_id: encode(stamp(event_id), "FENCE"), ids),
    st.builds(lambda event_id: encode(stamp(event_id), "BARRIER"), ids),
    st.binary(max_size=5),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(records, max_size=60), st.sets(st.integers(1, 60)))
def test_any_cut_into_batches_gives_equal_replicas(drawn: list[bytes], cuts: set[int]) -> None:
    log = [Record(position, 1000, value) for position, value in enumerate([*DECLARED, *drawn])]
    with tempfile.TemporaryDirectory() as folder:
        one_by_one = replay(Path(folder) / "1", log, range(len(log)))
        whole = replay(Path(folder) / "2", log)
        cut = replay(Path(folder) / "3", log, sorted(cuts))
        states = [replica.verified() for replica in (one_by_one, whole, cut)]
        for replica in (one_by_one, whole, cut):
            replica.close()
    assert states[0] == states[1] == states[2]
    assert states[0].damage == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=60), st.sets(st.integers(1, 200)))
def test_long_runs_of_inserts_are_grouped_without_a_trace(
    numbers: list[int], cuts: set[int]
) -> None:
    """Mostly fresh rows, as in a catch-up, with a repeated key or id here and there."""
    drawn = [
        own(f"e-{number}", "INSERT", "plain", {"id": f"k-{number // 2}", "text": "t"}, None)
        for number in [*range(100, 200), *numbers, *range(200, 260)]
    ]
    log = [Record(position, 1000, value) for position, value in enumerate([*DECLARED, *drawn])]
    with tempfile.TemporaryDirectory() as folder:
        one_by_one = replay(Path(folder) / "1", log, range(len(log)))
        cut = replay(Path(folder) / "2", log, sorted(cuts))
        states = [one_by_one.verified(), cut.verified()]
        one_by_one.close()
        cut.close()
    assert states[0] == states[1]
