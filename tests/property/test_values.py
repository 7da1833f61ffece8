"""Values and bytes: what goes in comes out, and our acceptance agrees with a strict reader."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlite.core import codec
from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.event import Stamp
from clusterlite.core.fields import INT64_MAX, INT64_MIN, TYPES, Unconvertible, canonical_json
from clusterlite.core.names import is_key
from clusterlite.core.patch import merge
from clusterlite.core.schema import Column, Table
from clusterlite.core.spelled import InsertReader

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(INT64_MIN, INT64_MAX) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_every_document_that_json_can_spell_is_accepted(value: Any, escaped: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", ":", "é", "\\u0061"]),
            st.sampled_from(["1", '":"', '"\\u003a"', '{"a":1}']),
        ),
        max_size=5,
    )
)
def test_a_key_that_stands_twice_is_always_found(pairs: list[tuple[str, str]]) -> None:
    raw = "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"
    keys = ["a" if key == "\\u0061" else key for key, _ in pairs]
    try:
        read_json(raw.encode())
    except Unreadable:
        assert len(set(keys)) < len(keys)
    else:
        assert len(set(keys)) == len(keys)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = read_json(raw)
    except Unreadable:
        return
    assert json.loads(raw) == value


@given(st.sampled_from(sorted(TYPES)), documents)
def test_what_a_type_takes_comes_back_as_it_was_stored(kind: str, value: Any) -> None:
    field = TYPES[kind]
    if value is None:
        return
    try:
        stored = field.stored(value, 2)
    except Unconvertible:
        return
    again = field.stored(field.shown(stored, 2), 2)
    assert again == stored
    if isinstance(stored, float):
        assert math.copysign(1, again) == math.copysign(1, stored)  # type: ignore[arg-type]


@given(documents)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def reversed_keys(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: reversed_keys(item[key]) for key in reversed(list(item))}
        return [reversed_keys(inner) for inner in item] if isinstance(item, list) else item

    assert canonical_json(value) == canonical_json(reversed_keys(value))


@given(documents, documents)
def test_a_merged_patch_is_stable(target: Any, patch: Any) -> None:
    """RFC 7396: applying a patch twice gives what applying it once gives."""
    once = merge(target, patch)
    assert merge(once, patch) == once


@given(st.text(max_size=300))
def test_keys_are_as_the_rule_says(key: str) -> None:
    control = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in key)
    expected = 1 <= len(key) <= 255 and key[0] not in "_-" and not control
    assert is_key(key) == expected


odd = st.sampled_from(
    [None, -1, 2, 2**70, 1e400, "", "@x", "_x", "a\x01", [[1]], {"id": "k"}, True]
)
changed = st.dictionaries(
    st.sampled_from(["id", "operation", "table_name", "data", "timestamp", "format", "cluster"])
    | st.sampled_from(["node", "actor", "after", "fp", "schema", "if", "more"]),
    odd,
    max_size=2,
)


@settings(max_examples=400)
@given(
    st.sampled_from(["INSERT", "UPDATE", "PATCH", "DELETE", "FENCE", "TRUNCATE"]),
    st.dictionaries(text, documents, max_size=3),
    st.sampled_from(["k", "", "-k", "a/b", "\u202e"]),
    changed,
    st.booleans(),
)
def test_our_own_spelling_is_decoded_as_any_other(
    operation: str, data: dict[str, Any], key: str, change: dict[str, Any], escaped: bool
) -> None:
    stamp = Stamp("e-1", "2026-11-22T20:00:00.000001Z", "c-1", "n", 7, fp="f")
    own = codec.encode(stamp, operation, "users", {**data, "id": key}, schema=2)
    spelled = json.dumps({**json.loads(own), **change}, ensure_ascii=escaped).encode()
    compact = json.dumps(
        {**json.loads(own), **change}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    for value in (own, spelled, compact, own[:-1], own + b" ", own.replace(b'"fp"', b'"id"')):
        assert codec.decode(value, 5) == codec._decode_any(value, 5)


FITTING: dict[str, list[Any]] = {
    "text": ["", "é", "\x00", "5"],
    "integer": [0, INT64_MAX, INT64_MIN],
    "real": [0.5, -0.0, 1e300],
    "boolean": [True, False],
    "timestamp": ["2026-11-22T20:00:00.5+02:00"],
    "date": ["2026-11-22"],
    "decimal": ["12.30", "-1"],
    "uuid": ["018F3C5E-7b1a-7c3d-9e4f-0123456789ab"],
    "blob": ["AA=="],
    "json": [{"b": 1, "a": [None]}],
    "any": [1, [1]],
}
OTHERWISE: list[Any] = [None, 1, 1.5, True, "x", "9" * 40, INT64_MAX + 1, {}, []]
OPAQUE = {"json", "any"}
"""Types of which no JSON type says all; their tables are read in full."""


@st.composite
def columns_and_values(draw: st.DrawFn) -> list[tuple[Column, Any]]:
    drawn: list[tuple[Column, Any]] = []
    for kind in draw(st.lists(st.sampled_from(sorted(TYPES)), max_size=4)):
        required = draw(st.booleans())
        choices = FITTING[kind] if draw(st.booleans()) else FITTING[kind] + OTHERWISE
        value = draw(st.sampled_from(choices))
        drawn.append((Column(f"class{len(drawn)}", kind, scale=2, required=required), value))
    return drawn


@settings(max_examples=500)
@given(
    columns_and_values(),
    st.sampled_from(["k", "", "-k", "_k", "@k", "a\nb", "k" * 256, "\u202e"]),
    changed,
    st.booleans(),
)
def test_an_insert_that_is_read_at_once_is_what_the_full_reading_finds(
    drawn: list[tuple[Column, Any]], key: str, change: dict[str, Any], shuffled: bool
) -> None:
    table = Table("users", tuple(column for column, _ in drawn))
    row = {"id": key, **{column.name: value for column, value in drawn}}
    if shuffled:
        row = dict(reversed(row.items()))
    stamp = Stamp("e-1", "2026-11-22T20:00:00.000001Z", "c-1", "n", 7, fp="f")
    own = codec.encode(stamp, "INSERT", "users", row, schema=2)
    altered = codec._encode({**json.loads(own), **change})
    reader = InsertReader(table)
    for value in (own, altered, own + b" ", own.replace(b'"INSERT"', b'"UPDATE"')):
        found = reader.read(value)
        if found is None:
            continue
        event = codec._decode_any(value, 5)
        assert event is not None
        assert (event.operation, event.table, event.format) == ("INSERT", "users", 1)
        assert (event.problem, event.changes[0].condition) == (None, None)
        insert, stored = found
        assert (insert.id, insert.cluster, insert.after, insert.fp, insert.schema) == (
            *(event.id, event.cluster, event.after, event.fp),
            event.changes[0].schema,
        )
        data = event.data
        assert list(data) == ["id", *(column.name for column, _ in drawn)]
        expected = [None if (v := data[c.name]) is None else c.stored(v) for c, _ in drawn]
        assert list(stored) == [event.changes[0].key, *expected]
        assert not any(c.required and v is None for (c, _), v in zip(drawn, expected, strict=True))
    fits = all(
        column.type not in OPAQUE and any(value is item for item in FITTING[column.type])
        for column, value in drawn
    )
    if fits and is_key(key) and (not shuffled or len(row) == 1):
        assert reader.read(own) is not None
