"""Records of a log in words: any bytes can be told, and nothing of them steers a terminal."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterlite.cli.records import clean, line, spell, time_text
from clusterlite.log.base import Record
from clusterlite.log.kafka_gate import barrier_bytes

TIME_MS = 1_795_636_800_123


def spelled(value: bytes | dict[str, Any], cluster: str = "c") -> dict[str, Any]:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return spell(Record(7, TIME_MS, raw), cluster)


def event(**changed: Any) -> dict[str, Any]:
    return {
        "id": "e-1",
        "operation": "INSERT",
        "table_name": "users",
        "data": {"id": "ann", "name": "Ann"},
        "timestamp": "2026-11-22T20:00:00.123456Z",
        "format": 1,
        "cluster": "c",
        "node": "node-1",
        "actor": "",
        "after": 3,
        **changed,
    }


def test_an_event_is_told_with_position_time_node_operation_table_and_key() -> None:
    shown = spelled(event(actor="eve"))
    assert shown["kind"] == "event"
    assert line(shown) == (
        '       7  2026-11-25T20:00:00.123Z  eve@node-1    INSERT       users/ann  {"name": "Ann"}'
    )


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (b"", "unreadable", "(no bytes)"),
        (b"\xff\x00", "unreadable", r"\xff\x00"),
        (b"[1]", "unreadable", "it is JSON and no object"),
        (b'{"a":1,"a":2}', "unreadable", "stands twice"),
        ({"a": 1}, "invalid", "no such operation"),
        (event(operation="EXPLODE"), "invalid", "no such operation"),
        (event(cluster="other"), "foreign", "of the cluster other"),
        (event(format=2), "newer", "format 2, and this build knows 1"),
        (event(format=None), "foreign", "no format, so another program wrote it"),
        (event(id=None, format=None), "foreign", "users/ann"),
        (event(operation="DELETE", data={"id": "ann"}), "event", "users/ann"),
        (event(operation="BARRIER", table_name="", data={}), "event", "BARRIER"),
        (barrier_bytes(), "event", "BARRIER"),
    ],
)
def test_what_is_no_event_of_this_cluster_is_shown_as_such(
    value: Any, kind: str, told: str
) -> None:
    shown = spelled(value)
    assert shown["kind"] == kind
    assert told in line(shown)
    assert ("problem" in shown) == (kind != "event")


def test_an_unreadable_record_keeps_its_bytes_in_json() -> None:
    shown = spelled(b"\xff\x00")
    assert base64.b64decode(shown["base64"]) == b"\xff\x00"


def test_a_transaction_names_its_rows() -> None:
    changes = [
        {"operation": "DELETE", "table_name": "users", "data": {"id": f"u{number}"}}
        for number in range(4)
    ]
    shown = spelled(event(operation="TRANSACTION", table_name="", data={"changes": changes}))
    assert "4 changes: DELETE users/u0, DELETE users/u1, DELETE users/u2, …" in line(shown)


@pytest.mark.parametrize("changes", [[1], [{}], [{"data": 1}], "x", None, [{"operation": 5}]])
def test_a_transaction_of_any_shape_can_be_told(changes: Any) -> None:
    told = line(spelled(event(operation="TRANSACTION", table_name="", data={"changes": changes})))
    assert "invalid" in told


def test_nothing_in_a_record_steers_a_terminal() -> None:
    evil = "\x1b[2J\u202e\r\n\x9b"
    shown = spelled(
        event(
            table_name=evil,
            node=evil,
            actor=evil,
            operation=evil,
            cluster=evil,
            data={"id": evil, evil: evil},
        )
    )
    assert line(shown).isprintable()
    assert json.dumps(shown).isprintable()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_can_be_told(value: bytes) -> None:
    shown = spelled(value)
    assert line(shown).isprintable()
    json.dumps(shown)


@pytest.mark.parametrize("field", [*event(), "if", "schema", "fp"])
def test_a_field_of_any_kind_can_be_told(field: str) -> None:
    for odd in (None, True, 0, -1, 1.5, "", "@1", [], [1], {}, {"id": 1}, {"changes": {}}):
        for whole in (event(**{field: odd}), {field: odd}):
            assert line(spelled(whole)).isprintable(), whole


@pytest.mark.parametrize("time_ms", [-(2**63), -1, 0, 2**63 - 1])
def test_any_time_can_be_told(time_ms: int) -> None:
    assert time_text(time_ms)


def test_long_text_is_cut() -> None:
    assert clean("x" * 100, 10) == "x" * 10 + "…"
