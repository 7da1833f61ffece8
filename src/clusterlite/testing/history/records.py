"""Records as the rules read them: which bytes are an event, and which shape an event has.

Written from the documents with the standard library's JSON, so that it shares no decoder with
what it judges.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn, Protocol

DEPTH_MAX: Final = 64
CHANGES_MAX: Final = 10_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

ROWS: Final = frozenset({"INSERT", "UPDATE", "PATCH", "DELETE"})
ELSEWHERE: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
OPERATIONS: Final = ROWS | {
    "TRANSACTION",
    "SCHEMA",
    "GENESIS",
    "SETTINGS",
    "BARRIER",
    "FENCE",
    "CHECKPOINT",
}
SETTINGS: Final = frozenset({"window_positions", "window_s", "level"})
SETTING_MAX: Final = 10**12

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}\Z")
_KEY = re.compile(r"[^\x00-\x1f\x7f-\x9f_-][^\x00-\x1f\x7f-\x9f]{0,254}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


class LogRecord(Protocol):
    """A record of a log; whatever has these three can be fed to the model."""

    @property
    def position(self) -> int:
        """Its place in the log."""

    @property
    def time_ms(self) -> int:
        """The log's own time of the append, Unix milliseconds."""

    @property
    def value(self) -> bytes:
        """The bytes as appended."""


class Record(NamedTuple):
    """A record of a log that was read by some client of its own.

    Args:
        position: its place, from 0.
        time_ms: the log's own time of the append, Unix milliseconds.
        value: the bytes as appended.
    """

    position: int
    time_ms: int
    value: bytes


class Change(NamedTuple):
    """One row operation of an event: as `changes` of a TRANSACTION spells it.

    Args:
        operation: of `ROWS`, or `ASSERT`.
        table: folded name.
        key: the row's id.
        data: the row, or what a PATCH gives of it, with `id`.
        schema: position of the declaration that the writer knew.
        condition: `if` as spelled, None without one.
    """

    operation: str
    table: str
    key: str
    data: dict[str, Any]
    schema: int = -1
    condition: dict[str, Any] | None = None


class Event(NamedTuple):
    """An event as it was read.

    Args:
        id: its own, or `@<position>` where it has no usable one.
        operation: as spelled, empty where that is no string.
        envelope: the whole object.
        ours: whether it has a format, and so comes from a node.
        cluster: whom it names; None for nobody.
        changes: its row operations.
        valid: whether its shape is one that the rules know.
    """

    id: str
    operation: str
    envelope: dict[str, Any]
    ours: bool
    cluster: str | None
    changes: tuple[Change, ...]
    valid: bool

    @property
    def data(self) -> dict[str, Any]:
        """What the event says."""
        data = self.envelope.get("data")
        return data if isinstance(data, dict) else {}


class _Invalid(ValueError):
    """A shape that the rules do not know."""


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """A name as names are compared: without ASCII case."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def is_name(name: object) -> bool:
    """Whether it may be a table or a field."""
    return (
        isinstance(name, str)
        and _NAME.match(name) is not None
        and not fold(name).startswith("sqlite_")
    )


def is_key(key: object) -> bool:
    """Whether a node would take it as the id of a row or an event."""
    return isinstance(key, str) and _KEY.match(key) is not None


def read(record: LogRecord) -> Event | None:
    """The event in a record, None where its bytes are unreadable."""
    try:
        text = record.value.decode()
        envelope = _decoder.decode(text)
        if "\\u" in text:
            json.dumps(envelope, ensure_ascii=False).encode()  # a lone surrogate has no bytes
    except (ValueError, RecursionError):
        return None
    if not isinstance(envelope, dict):
        return None
    if text.count("{") + text.count("[") > DEPTH_MAX and _depth(envelope) > DEPTH_MAX:
        return None
    event_id, cluster = envelope.get("id"), envelope.get("cluster")
    ours = envelope.get("format") is not None
    if not isinstance(event_id, str) or not event_id or event_id.startswith("@"):
        event_id = f"@{record.position}"
    try:
        changes, valid = _shape(envelope, ours=ours), True
    except _Invalid:
        changes, valid = (), False
    operation = envelope.get("operation")
    return Event(
        event_id,
        operation if isinstance(operation, str) else "",
        envelope,
        ours,
        cluster if isinstance(cluster, str) else None,
        changes,
        valid,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


def _integer(text: str) -> int:
    value = int(text)
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{text} is outside 64 bits")
    return value


_decoder = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_refuse,
    parse_float=_real,
    parse_int=_integer,
)


def _depth(value: Any) -> int:
    """How deep lists and objects are nested; looks no deeper than it must."""
    level, depth = [value], 0
    while level and depth <= DEPTH_MAX:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        nested = any(isinstance(item, dict | list) for item in level)
        depth += nested
        level = below
    return depth


def _need(condition: bool) -> None:
    if not condition:
        raise _Invalid


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shape(envelope: Mapping[str, Any], *, ours: bool) -> tuple[Change, ...]:
    get = envelope.get
    operation, event_id, data = get("operation"), get("id"), get("data")
    _need(isinstance(operation, str) and operation in OPERATIONS)
    _need(isinstance(data, dict) and isinstance(get("table_name"), str))
    _need(event_id is None or (isinstance(event_id, str) and not event_id.startswith("@")))
    if not ours:
        _need(operation in ELSEWHERE)
        return (_change(envelope, ours=False, allowed=ELSEWHERE),)
    _need(_whole(get("format")) and get("format", 0) >= 1 and isinstance(get("cluster"), str))
    _need(is_key(event_id) and _whole(get("after")) and isinstance(get("fp", ""), str))
    _need(isinstance(time := get("timestamp"), str) and _TIME.match(time) is not None)
    if operation in ROWS:
        return (_change(envelope, ours=True, allowed=ROWS),)
    if operation == "TRANSACTION":
        return _transaction(envelope["data"].get("changes"))
    if operation == "SCHEMA":
        _need(envelope["data"].get("table") == envelope["table_name"])
    elif operation in {"GENESIS", "SETTINGS"}:
        _need(operation == "SETTINGS" or is_key(envelope["cluster"]))
        _settings(envelope["data"])
    elif operation == "CHECKPOINT":
        _need(_whole(envelope["data"].get("position")))
        _need(isinstance(envelope["data"].get("hash"), str))
    return ()


def _change(spelled: Mapping[str, Any], *, ours: bool, allowed: frozenset[str]) -> Change:
    operation, table, data = spelled["operation"], spelled["table_name"], spelled["data"]
    _need(operation in allowed and is_name(table))
    key = data.get("id")
    _need(is_key(key) if ours else isinstance(key, str) and key != "")
    if not ours:
        return Change(operation, fold(table), key, data)
    schema, condition = spelled.get("schema", -1), spelled.get("if")
    _need(_whole(schema))
    if condition is not None:
        _need(isinstance(condition, dict) and len(condition) == 1)
        version = condition.get("version")
        _need(
            (_whole(version) and 0 <= version <= INT64_MAX)
            or condition.get("absent") is True
            or condition.get("present") is True
        )
    return Change(operation, fold(table), key, data, schema, condition)


def _transaction(spelled: Any) -> tuple[Change, ...]:
    _need(isinstance(spelled, list) and 0 < len(spelled) <= CHANGES_MAX)
    changes: list[Change] = []
    touched: set[tuple[str, str]] = set()
    for item in spelled:
        _need(isinstance(item, dict))
        _need(isinstance(item.get("operation"), str) and isinstance(item.get("table_name"), str))
        _need(isinstance(item.get("data"), dict))
        change = _change(item, ours=True, allowed=ROWS | {"ASSERT"})
        row = (change.table, change.key)
        _need(change.condition is None or row not in touched)
        _need(change.operation != "ASSERT" or change.condition is not None)
        touched.add(row)
        changes.append(change)
    return tuple(changes)


def _settings(data: Mapping[str, Any]) -> None:
    for name, value in data.items():
        if name in SETTINGS:
            _need(_whole(value) and 1 <= value <= SETTING_MAX)
        elif name == "skip":
            _need(isinstance(value, dict) and _whole(value.get("position")))
        else:
            _need(name == "cluster" and is_key(value))
