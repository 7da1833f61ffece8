"""Values of fields: what a type takes, and the canonical JSON form in which it is read back."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import re
from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any, Final

from clusterlite.testing.history.records import INT64_MAX, INT64_MIN

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,30}(\.\d{1,30})?\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z", re.ASCII)


class Misfit(ValueError):
    """A value that its field's type does not take."""


def canonical(kind: str, value: Any, scale: int = 0) -> Any:
    """The value as it is read back; None stays None.

    Args:
        kind: a name of `KINDS`.
        value: JSON.
        scale: decimal places.

    Raises:
        Misfit: the type does not take it.
    """
    return None if value is None else KINDS[kind](value, scale)


def comparable(value: Any) -> Hashable:
    """What two values of one field have in common exactly where they are the same."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2: what `patch` makes of `target`."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _need(condition: bool) -> None:
    if not condition:
        raise Misfit


def _text(value: Any, _scale: int) -> Any:
    _need(isinstance(value, str))
    return value


def _integer(value: Any, _scale: int) -> Any:
    _need(type(value) is int and INT64_MIN <= value <= INT64_MAX)
    return value


def _real(value: Any, _scale: int) -> float:
    _need(type(value) in {int, float} and math.isfinite(value))
    return float(value) + 0.0  # there is one zero


def _boolean(value: Any, _scale: int) -> Any:
    _need(isinstance(value, bool))
    return value


def _timestamp(value: Any, _scale: int) -> str:
    match = _TIMESTAMP.match(_text(value, 0))
    if match is None:
        raise Misfit
    day, clock, fraction, zone = match.groups()
    micro = (fraction or "").ljust(6, "0")[:6]
    try:
        shift = "+00:00" if zone in {"Z", "z"} else zone
        _need(int(clock[:2]) < 24 and int(shift[1:3]) < 24 and int(shift[4:]) < 60)
        moment = dt.datetime.fromisoformat(f"{day}T{clock}.{micro}{shift}").astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Misfit from None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _date(value: Any, _scale: int) -> Any:
    _need(isinstance(value, str) and _DATE.match(value) is not None)
    try:
        return dt.date.fromisoformat(value).isoformat()
    except ValueError:
        raise Misfit from None


def _decimal(value: Any, scale: int) -> str:
    text = str(value) if type(value) is int else value
    _need(isinstance(text, str) and _DECIMAL.match(text) is not None)
    scaled = Fraction(text) * 10**scale
    _need(scaled.denominator == 1 and INT64_MIN <= scaled <= INT64_MAX)
    digits = str(abs(scaled.numerator)).rjust(scale + 1, "0")
    sign = "-" if scaled < 0 else ""
    return sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def _uuid(value: Any, _scale: int) -> str:
    _need(isinstance(value, str) and _UUID.match(value) is not None)
    return str(value).lower()


def _blob(value: Any, _scale: int) -> str:
    try:
        return base64.b64encode(base64.b64decode(_text(value, 0), validate=True)).decode()
    except (binascii.Error, ValueError):
        raise Misfit from None


def _any(value: Any, _scale: int) -> Any:
    return _real(value, 0) if isinstance(value, float) else value


def _document(value: Any, _scale: int) -> Any:
    return value


KINDS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "text": _text,
    "integer": _integer,
    "real": _real,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
    "decimal": _decimal,
    "uuid": _uuid,
    "blob": _blob,
    "json": _document,
    "any": _any,
}
"""Every field type by the name that a declaration gives it."""
