"""The field types: one value's three forms and the conversions between them.

    Python value  --`event_value`-->  event and JSON  --`stored`-->  SQLite  --`shown`-->  JSON

Rules:
1. Every conversion is pure Python. No SQLite function or affinity takes part: two SQLite builds
   round differently, and replicas must not.
2. `stored` is total over JSON: it gives the canonical SQLite value or raises `Unconvertible`.
   It is what judges a type at apply, on every replica alike.
3. `stored(shown(v)) == v` for every value that a column can hold.

Dates follow RFC 3339, base64 RFC 4648 section 4, both in their strict forms.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import enum
import math
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

Json = Any
"""A JSON value as decoded: None, bool, int, float, str, list or dict."""

Stored = None | int | float | str | bytes
"""A value as SQLite holds it."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

DOCUMENT_DEPTH_MAX = 56
"""Nesting of a value that a client sends. An event around it adds up to five levels, and its
record may have 64."""

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))\Z",
    re.ASCII,
)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)\Z", re.ASCII)
_DECIMAL = re.compile(r"(-?)(\d{1,30})(?:\.(\d{1,30}))?\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z", re.ASCII)


class Unconvertible(ValueError):
    """A value that the field's type does not take; the message says what it does take."""


class FieldType(NamedTuple):
    """One type of field.

    Args:
        name: as a SCHEMA event spells it.
        sqlite: the STRICT column type.
        stored: JSON value to SQLite value; the scale matters to decimals only.
        shown: SQLite value to JSON value.
        event_value: a validated Python value to its JSON form.
    """

    name: str
    sqlite: str
    stored: Callable[[Json, int], Stored]
    shown: Callable[[Any, int], Json]
    event_value: Callable[[Any, int], Json]


def check_json(value: Json, depth_max: int, depth: int = 1) -> None:
    """Refuse a decoded JSON value that is nested too deep, or holds a number beyond 64 bits.

    Raises:
        Unconvertible: says which.
    """
    kind = type(value)
    if kind is dict or kind is list:
        if depth > depth_max:
            raise Unconvertible(f"nested deeper than {depth_max}")
        for item in value.values() if kind is dict else value:
            if type(item) is not str:
                check_json(item, depth_max, depth + 1)
    elif kind is int:
        if not INT64_MIN <= value <= INT64_MAX:
            raise Unconvertible("an integer is outside 64 bits")
    elif kind is float and not math.isfinite(value):
        raise Unconvertible("a number is not finite")


def canonical_json(value: Json) -> str:
    """JSON with keys sorted by code point and without spaces: how a document is stored."""
    return msgspec.json.encode(value, order="sorted").decode()


def format_timestamp(moment: dt.datetime) -> str:
    """RFC 3339 in UTC with six digits and `Z`.

    Raises:
        Unconvertible: the moment has no time zone.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise Unconvertible("needs a time zone; a naive time means another moment on each machine")
    try:
        moment = moment.astimezone(dt.UTC)
    except OverflowError:
        raise Unconvertible("must be between the years 1 and 9999 in UTC") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z".rjust(27, "0")


def _same(value: Any, _scale: int) -> Any:
    return value


def _text(value: Json, _scale: int) -> str:
    if type(value) is not str:
        raise Unconvertible("must be a string")
    return value


def _integer(value: Json, _scale: int) -> int:
    if type(value) is not int or not INT64_MIN <= value <= INT64_MAX:
        raise Unconvertible("must be a whole number of at most 64 bits")
    return value


def _real(value: Json, _scale: int) -> float:
    if type(value) is not float and type(value) is not int:
        raise Unconvertible("must be a number")
    try:
        real = float(value)
    except OverflowError:
        raise Unconvertible("must be a finite number") from None
    if not math.isfinite(real):
        raise Unconvertible("must be a finite number")
    return real + 0.0  # -0.0 becomes 0.0


def _boolean(value: Json, _scale: int) -> int:
    if value is not True and value is not False:
        raise Unconvertible("must be true or false")
    return int(value)


def _timestamp(value: Json, _scale: int) -> str:
    match = _TIMESTAMP.match(value) if type(value) is str else None
    if match is None:
        raise Unconvertible("must be an RFC 3339 time such as 2026-11-22T20:00:00.123456Z")
    year, month, day, hour, minute, second, fraction, sign, off_h, off_m = match.groups()
    micro = int((fraction or "0").ljust(6, "0")[:6])
    try:
        moment = dt.datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), micro, dt.UTC
        )
        if sign:
            if int(off_h) > 23 or int(off_m) > 59:
                raise ValueError
            offset = dt.timedelta(hours=int(off_h), minutes=int(off_m))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError):
        raise Unconvertible("must be a time that exists") from None
    return format_timestamp(moment)


def _date(value: Json, _scale: int) -> str:
    match = _DATE.match(value) if type(value) is str else None
    if match is None:
        raise Unconvertible("must be a date such as 2026-11-22")
    try:
        dt.date(*(int(part) for part in match.groups()))
    except ValueError:
        raise Unconvertible("must be a date that exists") from None
    return str(value)


def _decimal(value: Json, scale: int) -> int:
    if type(value) is int:
        value = str(value)
    match = _DECIMAL.match(value) if type(value) is str else None
    if match is None:
        raise Unconvertible('must be a decimal number as a string such as "12.30"')
    sign, whole, fraction = match.groups(default="")
    fraction = fraction.rstrip("0")
    if len(fraction) > scale:
        raise Unconvertible(f"must have at most {scale} decimal places")
    scaled = int(whole + fraction.ljust(scale, "0"))
    return _integer(-scaled if sign else scaled, 0)


def _shown_decimal(value: int, scale: int) -> str:
    digits = str(abs(value)).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else sign + digits


def _event_decimal(value: Decimal, scale: int) -> str:
    return _shown_decimal(_decimal(format(value, "f"), scale), scale)


def _uuid(value: Json, _scale: int) -> str:
    if type(value) is not str or not _UUID.match(value):
        raise Unconvertible("must be a UUID such as 018f3c5e-7b1a-7c3d-9e4f-0123456789ab")
    return value.lower()


def _blob(value: Json, _scale: int) -> bytes:
    try:
        return base64.b64decode(_text(value, 0).encode(), validate=True)
    except (binascii.Error, Unconvertible):
        raise Unconvertible("must be base64") from None


def _base64(value: bytes, _scale: int) -> str:
    return base64.b64encode(value).decode()


def _document(value: Json, _scale: int) -> str:
    try:
        return canonical_json(value)
    except UnicodeEncodeError as error:
        raise Unconvertible(f"a string is no Unicode text: {error.reason}") from None


def _event_document(value: Json, _scale: int) -> Json:
    check_json(value, DOCUMENT_DEPTH_MAX)
    return value


def _shown_document(value: str, _scale: int) -> Json:
    return msgspec.json.decode(value)


def _any(value: Json, _scale: int) -> Stored:
    """Lossless: what SQLite has no type for is a BLOB of canonical JSON."""
    if type(value) in {bool, list, dict}:
        return canonical_json(value).encode()
    if type(value) is float:
        return _real(value, 0)
    return value  # type: ignore[no-any-return]


def _shown_any(value: Stored, _scale: int) -> Json:
    return msgspec.json.decode(value) if isinstance(value, bytes) else value


def _enum_or_text(value: Any, _scale: int) -> str:
    return str(value.value) if isinstance(value, enum.Enum) else str(value)


def _event_timestamp(value: dt.datetime, _scale: int) -> str:
    return format_timestamp(value)


def _event_date(value: dt.date, _scale: int) -> str:
    return value.isoformat()


def _event_uuid(value: uuid.UUID, _scale: int) -> str:
    return str(value)


def _shown_boolean(value: int, _scale: int) -> bool:
    return bool(value)


def _event_real(value: float, _scale: int) -> float:
    return _real(value, 0)


TYPES: dict[str, FieldType] = {
    kind.name: kind
    for kind in (
        FieldType("text", "TEXT", _text, _same, _enum_or_text),
        FieldType("integer", "INTEGER", _integer, _same, _same),
        FieldType("real", "REAL", _real, _same, _event_real),
        FieldType("boolean", "INTEGER", _boolean, _shown_boolean, _same),
        FieldType("timestamp", "TEXT", _timestamp, _same, _event_timestamp),
        FieldType("date", "TEXT", _date, _same, _event_date),
        FieldType("decimal", "INTEGER", _decimal, _shown_decimal, _event_decimal),
        FieldType("uuid", "TEXT", _uuid, _same, _event_uuid),
        FieldType("blob", "BLOB", _blob, _base64, _base64),
        FieldType("json", "TEXT", _document, _shown_document, _event_document),
        FieldType("any", "ANY", _any, _shown_any, _same),
    )
}
"""Every field type by the name that a SCHEMA event gives it. Closed: a new one is a new level."""
