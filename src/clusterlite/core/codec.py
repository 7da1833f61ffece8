"""Between records and events: the envelope's bytes, both ways.

Decoding never raises for what a producer wrote: bytes that cannot be read give None and events
of a wrong shape carry their `problem`. Both become outcomes that are the same everywhere.
Encoding keeps the Go program's five fields first, in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clusterlite.core.acceptance import Unreadable, read_json
from clusterlite.core.event import (
    CHANGE_OPERATIONS,
    FOREIGN_OPERATIONS,
    OPERATIONS,
    ROW_OPERATIONS,
    Change,
    Condition,
    Event,
    Stamp,
    misplaced_conditions,
)
from clusterlite.core.fields import INT64_MAX, Json
from clusterlite.core.names import is_key, is_name
from clusterlite.core.spelled import decode_spelled, is_time
from clusterlite.errors import InputError, Problem

CHANGES_MAX: Final = 10_000

_encode = msgspec.json.Encoder().encode


class _Shape(ValueError):
    """The event's shape is not as the rules know it."""


def decode(value: bytes, position: int) -> Event | None:
    """The event in a record; None where the bytes are unreadable.

    Args:
        value: the record's bytes.
        position: its place, which names an event without an id.
    """
    event = decode_spelled(value)
    return _decode_any(value, position) if event is None else event


def _decode_any(value: bytes, position: int) -> Event | None:
    try:
        envelope = read_json(value)
    except Unreadable:
        return None
    if type(envelope) is not dict:
        return None
    return _event(envelope, f"@{position}")


def _event(envelope: dict[str, Any], fallback_id: str) -> Event:
    get = envelope.get
    ours = "format" in envelope and envelope["format"] is not None
    event_id, operation, table = get("id"), get("operation"), get("table_name")
    data, cluster, after = get("data"), get("cluster"), get("after", -1)
    problem = None
    changes: tuple[Change, ...] = ()
    try:
        _check_envelope(envelope, ours=ours)
        changes = _CHANGES[str(operation)](envelope, ours)
    except _Shape as error:
        problem = str(error)
    if type(event_id) is not str or not event_id or event_id[0] == "@":
        event_id = fallback_id
    return Event(
        event_id,
        operation if type(operation) is str else "",
        table if type(table) is str else "",
        data if type(data) is dict else {},
        get("format") if ours else None,
        cluster if type(cluster) is str else None,
        after if type(after) is int else -1,
        fp if type(fp := get("fp", "")) is str else "",
        changes,
        actor if type(actor := get("actor", "")) is str else "",
        timestamp if type(timestamp := get("timestamp", "")) is str else "",
        problem,
    )


def _check_envelope(envelope: dict[str, Any], *, ours: bool) -> None:
    get = envelope.get
    operation, event_id, timestamp = get("operation"), get("id"), get("timestamp")
    if type(operation) is not str or operation not in OPERATIONS:
        raise _Shape("no such operation")
    if type(get("data")) is not dict or type(get("table_name")) is not str:
        raise _Shape("data must be an object and table_name a string")
    if event_id is not None and (type(event_id) is not str or event_id[:1] == "@"):
        raise _Shape("the id must be a string that does not begin with @")
    if not ours:
        if operation not in FOREIGN_OPERATIONS:
            raise _Shape("not an operation of an event without a format")
        return
    number = get("format")
    if type(number) is not int or number < 1 or type(get("cluster")) is not str:
        raise _Shape("format must be a number from 1 and cluster a string")
    if type(event_id) is not str or not is_key(event_id):
        raise _Shape("the id must be an acceptable key")
    if type(timestamp) is not str or not is_time(timestamp):
        raise _Shape("the timestamp must be RFC 3339")
    if type(get("after")) is not int or type(get("fp", "")) is not str:
        raise _Shape("after must be a position and fp a string")


def _row_change(envelope: dict[str, Any], ours: bool) -> tuple[Change, ...]:
    return (_change(envelope, ours=ours, operations=ROW_OPERATIONS),)


def _change(spelled: dict[str, Any], *, ours: bool, operations: frozenset[str]) -> Change:
    operation, table, data = spelled["operation"], spelled["table_name"], spelled["data"]
    if operation not in operations:
        raise _Shape("not a row operation")
    if not is_name(table):
        raise _Shape("table_name is no name")
    key = data.get("id")
    if type(key) is not str or not key or (ours and not is_key(key)):
        raise _Shape("data.id must be an acceptable key")
    if not ours:
        return Change(operation, table, key, data)
    schema = spelled.get("schema", -1)
    if type(schema) is not int:
        raise _Shape("schema must be a position")
    condition = spelled.get("if")
    if condition is not None:
        condition = read_condition(condition)
    return Change(operation, table, key, data, schema, condition)


def read_condition(spelled: Json) -> Condition:
    """A precondition as it stands in an event.

    Raises:
        ValueError: it is none.
    """
    if type(spelled) is dict and len(spelled) == 1:
        version = spelled.get("version")
        if type(version) is int and 0 <= version <= INT64_MAX:
            return Condition(version=version)
        if spelled.get("absent") is True:
            return Condition(present=False)
        if spelled.get("present") is True:
            return Condition(present=True)
    raise _Shape("if must be one of version, absent, present")


def _transaction(envelope: dict[str, Any], ours: bool) -> tuple[Change, ...]:
    spelled = envelope["data"].get("changes")
    if type(spelled) is not list or not 0 < len(spelled) <= CHANGES_MAX:
        raise _Shape(f"changes must be a list of 1 to {CHANGES_MAX}")
    changes: list[Change] = []
    for item in spelled:
        if (
            type(item) is not dict
            or type(item.get("operation")) is not str
            or type(item.get("table_name")) is not str
            or type(item.get("data")) is not dict
        ):
            raise _Shape("a change has an operation, a table_name and data")
        changes.append(_change(item, ours=ours, operations=CHANGE_OPERATIONS))
    for _, reason in misplaced_conditions(changes):
        raise _Shape(reason)
    return tuple(changes)


def _schema(envelope: dict[str, Any], _ours: bool) -> tuple[Change, ...]:
    if envelope["data"].get("table") != envelope["table_name"]:
        raise _Shape("a SCHEMA names its table twice, alike")
    return ()


def _genesis(envelope: dict[str, Any], _ours: bool) -> tuple[Change, ...]:
    if not is_key(envelope["cluster"]):
        raise _Shape("a GENESIS names its cluster")
    return _settings(envelope, _ours)


_SETTINGS: Final = frozenset({"window_positions", "window_s", "level"})
_SETTING_MAX: Final = 10**12


def _settings(envelope: dict[str, Any], _ours: bool) -> tuple[Change, ...]:
    data = envelope["data"]
    for name, value in data.items():
        if name in _SETTINGS:
            if type(value) is not int or not 1 <= value <= _SETTING_MAX:
                raise _Shape(f"{name} must be a whole number from 1 to {_SETTING_MAX}")
        elif name == "skip":
            if type(value) is not dict or type(value.get("position")) is not int:
                raise _Shape("skip names a position and the hash of its record")
        elif name == "cluster":
            if type(value) is not str or not is_key(value):
                raise _Shape("cluster must be an acceptable id")
        else:
            raise _Shape(f"no setting is named {name}")
    return ()


def _checkpoint(envelope: dict[str, Any], _ours: bool) -> tuple[Change, ...]:
    data = envelope["data"]
    if type(data.get("position")) is not int or type(data.get("hash")) is not str:
        raise _Shape("a CHECKPOINT has a position and the running hash there")
    return ()


def _nothing(_envelope: dict[str, Any], _ours: bool) -> tuple[Change, ...]:
    return ()


_CHANGES: Final[dict[str, Callable[[dict[str, Any], bool], tuple[Change, ...]]]] = {
    **dict.fromkeys(ROW_OPERATIONS, _row_change),
    "TRANSACTION": _transaction,
    "SCHEMA": _schema,
    "GENESIS": _genesis,
    "SETTINGS": _settings,
    "BARRIER": _nothing,
    "FENCE": _nothing,
    "CHECKPOINT": _checkpoint,
}


def encode(
    stamp: Stamp,
    operation: str,
    table: str = "",
    data: Mapping[str, Any] | None = None,
    *,
    schema: int | None = None,
    condition: Condition | None = None,
) -> bytes:
    """The record of one event of ours.

    Args:
        stamp: what the node adds.
        operation: one of `event.OPERATIONS`.
        table: empty where there is none.
        data: in canonical JSON form.
        schema: position of the declaration that the writer knew.
        condition: what must hold before the change.

    Raises:
        InputError: a string in it is no Unicode text.
    """
    event: dict[str, Any] = {
        "id": stamp.id,
        "operation": operation,
        "table_name": table,
        "data": {} if data is None else data,
        "timestamp": stamp.timestamp,
        "format": 1,
        "cluster": stamp.cluster,
        "node": stamp.node,
        "actor": stamp.actor,
        "after": stamp.after,
        "fp": stamp.fp,
    }
    if schema is not None:
        event["schema"] = schema
    if condition is not None:
        event["if"] = condition.to_json()
    try:
        return _encode(event)
    except UnicodeEncodeError as error:
        wrong = Problem("", "datatype", f"a string is no Unicode text: {error.reason}")
        raise InputError([wrong]) from None


def encode_transaction(stamp: Stamp, changes: Sequence[Change]) -> bytes:
    """The record of many changes, all or none."""
    spelled: list[dict[str, Any]] = []
    for change in changes:
        item: dict[str, Any] = {
            "operation": change.operation,
            "table_name": change.table,
            "data": change.data,
            "schema": change.schema,
        }
        if change.condition is not None:
            item["if"] = change.condition.to_json()
        spelled.append(item)
    return encode(stamp, "TRANSACTION", "", {"changes": spelled})
