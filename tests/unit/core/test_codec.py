"""The envelope: golden bytes both ways, and what becomes of every wrong shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clusterlite.core.codec import decode, encode, encode_transaction
from clusterlite.core.event import Change, Condition, Stamp

STAMP = Stamp(
    "01a2079b-0000-7000-8000-000000000001",
    "2026-11-22T20:00:00.123456Z",
    "c-1",
    "node-1",
    4711,
    "ann",
    "00ff",
)

GOLDEN = (
    b'{"id":"01a2079b-0000-7000-8000-000000000001","operation":"INSERT","table_name":"users",'
    b'"data":{"id":"u1","name":"Ann"},"timestamp":"2026-11-22T20:00:00.123456Z","format":1,'
    b'"cluster":"c-1","node":"node-1","actor":"ann","after":4711,"fp":"00ff","schema":3,'
    b'"if":{"version":41}}'
)

EVERY_KIND = [
    "INSERT",
    "UPDATE",
    "PATCH",
    "DELETE",
    "TRANSACTION",
    "SCHEMA",
    "GENESIS",
    "SETTINGS",
    "BARRIER",
    "FENCE",
    "CHECKPOINT",
]


def test_the_envelope_is_as_the_first_landing_wrote_it() -> None:
    raw = encode(
        STAMP, "INSERT", "users", {"id": "u1", "name": "Ann"}, schema=3, condition=Condition(41)
    )
    assert raw == GOLDEN


def test_decoding_gives_what_was_encoded() -> None:
    event = decode(GOLDEN, 9)
    assert event is not None
    assert event.problem is None
    assert (event.id, event.cluster, event.after, event.fp) == (STAMP.id, "c-1", 4711, "00ff")
    assert event.changes == (
        Change("INSERT", "users", "u1", {"id": "u1", "name": "Ann"}, 3, Condition(41)),
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_keeps_the_five_fields_of_the_first_program(kind: str) -> None:
    """It decodes each record into these, and would stop at one that it cannot."""
    envelope = json.loads(encode(STAMP, kind))
    assert list(envelope)[:5] == ["id", "operation", "table_name", "data", "timestamp"]
    assert isinstance(envelope["table_name"], str)
    assert isinstance(envelope["data"], dict)


def test_a_transaction_holds_its_changes_in_order() -> None:
    changes = [
        Change("INSERT", "users", "a", {"id": "a"}, 3),
        Change("ASSERT", "users", "b", {"id": "b"}, -1, Condition(7)),
        Change("DELETE", "users", "c", {"id": "c"}, -1, Condition(present=True)),
    ]
    event = decode(encode_transaction(STAMP, changes), 0)
    assert event is not None
    assert event.problem is None
    assert event.changes == tuple(changes)


def envelope(**changed: Any) -> dict[str, Any]:
    return {**json.loads(GOLDEN), **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"operation": "MERGE"},
        {"operation": 7},
        {"table_name": "1users"},
        {"table_name": "sqlite_master"},
        {"table_name": "a b"},
        {"table_name": None},
        {"data": []},
        {"data": {"name": "no id"}},
        {"data": {"id": 7}},
        {"data": {"id": "_hidden"}},
        {"data": {"id": "x" * 256}},
        {"data": {"id": "a\nb"}},
        {"timestamp": "yesterday"},
        {"after": "soon"},
        {"schema": 1.5},
        {"if": {}},
        {"if": {"version": -1}},
        {"if": {"version": 1, "absent": True}},
        {"if": {"absent": False}},
        {"fp": 1},
        {"format": 0},
        {"format": "1"},
        {"id": "@5"},
    ],
)
def test_a_wrong_shape_is_a_problem_and_never_an_exception(changed: dict[str, Any]) -> None:
    event = decode(json.dumps(envelope(**changed)).encode(), 12)
    assert event is not None
    assert event.problem is not None


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [{"operation": "INSERT"}],
        [{"operation": "SCHEMA", "table_name": "users", "data": {"id": "a"}}],
        [{"operation": "ASSERT", "table_name": "users", "data": {"id": "a"}}],
        [
            {"operation": "DELETE", "table_name": "users", "data": {"id": "a"}},
            {
                "operation": "INSERT",
                "table_name": "users",
                "data": {"id": "a"},
                "if": {"absent": True},
            },
        ],
    ],
)
def test_a_transaction_of_wrong_shape_is_a_problem(changes: list[Any]) -> None:
    spelled = envelope(operation="TRANSACTION", table_name="", data={"changes": changes})
    event = decode(json.dumps(spelled).encode(), 0)
    assert event is not None
    assert event.problem is not None


def test_an_event_without_format_needs_no_more_than_the_first_programs_fields() -> None:
    event = decode(b'{"operation":"INSERT","table_name":"t","data":{"id":"a"}}', 5)
    assert event is not None
    assert (event.id, event.ours, event.problem) == ("@5", False, None)


def test_an_event_without_format_cannot_be_of_our_own_kinds() -> None:
    event = decode(b'{"id":"x","operation":"GENESIS","table_name":"","data":{}}', 5)
    assert event is not None
    assert event.problem is not None


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"id":'])
def test_what_is_no_object_is_unreadable(raw: bytes) -> None:
    assert decode(raw, 0) is None
