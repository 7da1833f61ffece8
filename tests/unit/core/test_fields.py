"""Field types: canonical forms, and what each refuses."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from clusterlite.core.codec import decode, encode, encode_transaction
from clusterlite.core.entity import Entity
from clusterlite.core.event import Change, Stamp
from clusterlite.core.fields import DOCUMENT_DEPTH_MAX, TYPES, Unconvertible, format_timestamp
from clusterlite.errors import InputError

STORED = [
    ("text", 0, "Ann", "Ann"),
    ("integer", 0, -5, -5),
    ("real", 0, 3, 3.0),
    ("real", 0, -0.0, 0.0),
    ("boolean", 0, True, 1),
    ("timestamp", 0, "2026-11-22T20:00:00Z", "2026-11-22T20:00:00.000000Z"),
    ("timestamp", 0, "2026-11-22T20:00:00.123456789+02:00", "2026-11-22T18:00:00.123456Z"),
    ("timestamp", 0, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ("date", 0, "2024-02-29", "2024-02-29"),
    ("decimal", 2, "12.3", 1230),
    ("decimal", 2, "-0.05", -5),
    ("decimal", 0, "7", 7),
    ("decimal", 2, 3, 300),
    ("uuid", 0, "018F3C5E-7B1A-7C3D-9E4F-0123456789AB", "018f3c5e-7b1a-7c3d-9e4f-0123456789ab"),
    ("blob", 0, "AP8=", b"\x00\xff"),
    ("json", 0, {"b": 1, "a": [1.5, None]}, '{"a":[1.5,null],"b":1}'),
    ("any", 0, True, b"true"),
    ("any", 0, [1, "x"], b'[1,"x"]'),
    ("any", 0, "x", "x"),
]

REFUSED = [
    ("text", 0, 1),
    ("integer", 0, True),
    ("integer", 0, 1.0),
    ("integer", 0, 2**63),
    ("real", 0, "1"),
    ("real", 0, 10**400),
    ("boolean", 0, 1),
    ("timestamp", 0, "2026-11-22T20:00:00"),
    ("timestamp", 0, "2026-02-30T20:00:00Z"),
    ("timestamp", 0, "٢٠٢٦-11-22T20:00:00Z"),
    ("timestamp", 0, "0001-01-01T00:00:00+10:00"),
    ("date", 0, "2023-02-29"),
    ("decimal", 2, "1.234"),
    ("decimal", 2, 1.5),
    ("decimal", 18, "9999999999999999999999"),
    ("uuid", 0, "018f3c5e7b1a7c3d9e4f0123456789ab"),
    ("blob", 0, "A"),
    ("blob", 0, "AP8 ="),
]


@pytest.mark.parametrize(("kind", "scale", "value", "stored"), STORED)
def test_a_value_has_one_stored_form(kind: str, scale: int, value: object, stored: object) -> None:
    field = TYPES[kind]
    found = field.stored(value, scale)
    assert found == stored
    assert type(found) is type(stored)
    assert str(found) == str(stored)  # -0.0 is not 0.0
    assert field.stored(field.shown(found, scale), scale) == stored


@pytest.mark.parametrize(("kind", "scale", "value"), REFUSED)
def test_what_does_not_fit_is_refused(kind: str, scale: int, value: object) -> None:
    with pytest.raises(Unconvertible):
        TYPES[kind].stored(value, scale)


def test_python_values_have_their_event_form() -> None:
    moment = dt.datetime(2026, 11, 22, 21, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert TYPES["timestamp"].event_value(moment, 0) == "2026-11-22T20:00:00.000000Z"
    assert TYPES["date"].event_value(dt.date(2026, 1, 2), 0) == "2026-01-02"
    assert TYPES["decimal"].event_value(Decimal("1E+1"), 2) == "10.00"
    assert TYPES["uuid"].event_value(uuid.UUID(int=1), 0) == str(uuid.UUID(int=1))


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(Unconvertible, match="time zone"):
        format_timestamp(dt.datetime(2026, 1, 1))  # noqa: DTZ001 - what is tried


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_time_that_leaves_the_calendar_in_utc_is_refused(text: str) -> None:
    class Meeting(Entity, table="meetings"):
        when: dt.datetime

    with pytest.raises(InputError, match="between the years 1 and 9999"):
        Meeting.model_validate({"when": text}).row()


class Note(Entity, table="notes"):
    doc: list[Any]


def record(document: list[Any]) -> bytes:
    stamp = Stamp("e", "2026-11-22T20:00:00.000000Z", "c", "n", -1)
    return encode(stamp, "INSERT", "notes", {"id": "n", **Note(doc=document).row()})


@pytest.mark.parametrize(
    "value", [float("nan"), {"a": [float("inf")]}, 2**63, {"n": {"m": 2**70}}, "\ud800"]
)
def test_a_document_that_no_event_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(InputError):
        record([value])


def test_what_a_client_may_send_an_event_can_carry() -> None:
    def nested(depth: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(depth - 1):
            value = [value]
        return value

    row = {"id": "n", **Note(doc=nested(DOCUMENT_DEPTH_MAX)).row()}
    stamp = Stamp("e", "2026-11-22T20:00:00.000000Z", "c", "n", -1)
    change = Change("INSERT", "notes", "n", row)
    for value in (encode(stamp, "INSERT", "notes", row), encode_transaction(stamp, [change])):
        event = decode(value, 0)
        assert event is not None
        assert event.problem is None
    with pytest.raises(InputError, match="nested deeper"):
        record(nested(DOCUMENT_DEPTH_MAX + 1))
