"""PATCH at apply is RFC 7396, in batches beside other events, by a model of its own."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlite.core.codec import encode
from clusterlite.core.entity import Entity, Field
from clusterlite.core.event import Stamp
from clusterlite.core.fields import canonical_json
from clusterlite.core.patch import difference, merge
from clusterlite.log.base import Record
from tests.support import CLUSTER, replay


class Doc(Entity, table="docs"):
    name: str | None = None
    left: dict[str, Any] = Field(default_factory=dict)
    right: dict[str, Any] | None = None


members = st.sampled_from(["a", "b", "c"])
leaves = st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 2) | st.text(max_size=2)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(members, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(members, values, max_size=3)
keys = st.sampled_from(["k", "l"])
rows = st.fixed_dictionaries({"id": keys, "name": st.none() | st.text(max_size=2), "left": objects})
parts = st.fixed_dictionaries(
    {"id": keys},
    optional={"name": st.none() | st.text(max_size=2), "left": objects, "right": objects},
)
events = st.tuples(st.sampled_from(["INSERT", "UPDATE"]), rows) | st.tuples(
    st.sampled_from(["PATCH", "PATCH", "PATCH", "DELETE"]), parts
)


def patched(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396 without recursion: what is still to do stands in a list."""
    result: dict[str, Any] = copy.deepcopy(target) if isinstance(target, dict) else {}
    todo = [(result, patch)]
    while todo:
        into, members_ = todo.pop()
        for name in members_:
            if members_[name] is None:
                into.pop(name, None)
            elif isinstance(members_[name], dict):
                if not isinstance(into.get(name), dict):
                    into[name] = {}
                todo.append((into[name], members_[name]))
            else:
                into[name] = copy.deepcopy(members_[name])
    return result


def expected(drawn: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    state: dict[str, dict[str, Any]] = {}
    for operation, data in drawn:
        key = data["id"]
        if operation == "DELETE":
            state.pop(key, None)
        elif operation == "UPDATE" or (operation == "INSERT" and key not in state):
            state[key] = {"name": None, "left": {}, "right": None, **data}
        elif operation == "PATCH" and key in state:
            for field, value in data.items():
                old = state[key][field]
                state[key][field] = patched(old, value) if isinstance(value, dict) else value
    return [state[key] for key in sorted(state)]


def stamp(name: str) -> Stamp:
    return Stamp(name, "2026-11-22T20:00:00Z", CLUSTER, "n", -1)


DECLARED = [
    encode(stamp("g"), "GENESIS"),
    encode(stamp("s"), "SCHEMA", "docs", Doc.declaration.to_json()),
]


@settings(max_examples=30, deadline=None)
@given(st.lists(events, max_size=25), st.sets(st.integers(1, 25)))
def test_merging_at_apply_is_the_rfc_however_the_log_is_cut(
    drawn: list[tuple[str, dict[str, Any]]], cuts: set[int]
) -> None:
    own = [
        encode(stamp(f"e-{n}"), operation, "docs", data, schema=1)
        for n, (operation, data) in enumerate(drawn)
    ]
    log = [Record(position, 1000, value) for position, value in enumerate([*DECLARED, *own])]
    with tempfile.TemporaryDirectory() as folder:
        replica = replay(Path(folder), log, sorted(cuts))
        found = replica.rows("docs")
        replica.close()
    assert canonical_json(found) == canonical_json(expected(drawn))


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(item) for name, item in value.items() if item is not None}


@settings(max_examples=100, deadline=None)
@given(objects.map(without_nulls), objects.map(without_nulls))
def test_the_difference_of_two_documents_makes_one_of_the_other(
    target: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert canonical_json(merge(target, difference(target, wanted))) == canonical_json(wanted)
