"""Records that are, byte for byte, row events as `codec.encode` writes them.

Nearly all are. What equals its own encoding holds nothing that reading it dropped: no field that
is not known, none twice, no number in another spelling. So these readers find what the codec's
full reading finds, in less than half the time, and leave to it whatever they are not sure of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Protocol, cast

import msgspec

from clusterlite.core.acceptance import DEPTH_MAX
from clusterlite.core.event import ROW_OPERATIONS, Change, Event
from clusterlite.core.fields import INT64_MAX, INT64_MIN, Stored, Unconvertible, check_json
from clusterlite.core.names import EVENT_ID, KEY, is_name
from clusterlite.core.schema import Table

_encode = msgspec.json.Encoder().encode
_astuple = msgspec.structs.astuple

_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_is_time = re.compile(_TIME + r"\Z").match
_are_acceptable = re.compile(f"{EVENT_ID}\n{KEY}\n{_TIME}\\Z").match
"""Event id, key and time in one match: no line break stands in any of them."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Unconvertible)

_Int64 = Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]

_JSON_TYPES: Final[dict[str, Any]] = {
    "text": str,
    "integer": _Int64,
    "real": float,
    "boolean": bool,
    "timestamp": str,
    "date": str,
    "decimal": str,
    "uuid": str,
    "blob": str,
}
"""What a field's value is in an event, where one type says it all."""

_STORED_AS_SPELLED: Final = frozenset({"text", "integer"})


class _Spelled(msgspec.Struct):
    """A row event, its fields in the order in which they are written."""

    id: str
    operation: str
    table_name: str
    data: dict[str, Any]
    timestamp: str
    format: _Int64
    cluster: str
    node: str
    actor: str
    after: _Int64
    fp: str
    schema: _Int64


_decode_spelled = msgspec.json.Decoder(_Spelled).decode


def is_time(text: str) -> bool:
    """Whether it is a time as RFC 3339 spells it."""
    return _is_time(text) is not None


def decode_spelled(value: bytes) -> Event | None:
    """The event in a record, None where that is for the full reading to say."""
    try:
        spelled = _decode_spelled(value)
        data = spelled.data
        for item in data.values():
            if type(item) is not str:
                check_json(item, DEPTH_MAX, 3)
        if _encode(spelled) != value:
            return None
    except _UNREADABLE:
        return None
    event_id, operation, table, key = spelled.id, spelled.operation, spelled.table_name, ""
    if "id" in data:
        key = data["id"]
    if (
        type(key) is not str
        or spelled.format < 1
        or operation not in ROW_OPERATIONS
        or not is_name(table)
        or _are_acceptable(f"{event_id}\n{key}\n{spelled.timestamp}") is None
    ):
        return None
    return Event(
        event_id,
        operation,
        table,
        data,
        spelled.format,
        spelled.cluster,
        spelled.after,
        spelled.fp,
        (Change(operation, table, key, data, spelled.schema),),
        spelled.actor,
        spelled.timestamp,
    )


class SpelledInsert(Protocol):
    """An INSERT as its record spells it; `data` is for the reader alone."""

    id: str
    timestamp: str
    cluster: str
    after: int
    fp: str
    schema: int
    data: Any


class InsertReader:
    """Reads the plain INSERTs into one table, whose rows name every column in its order.

    Args:
        table: as the log declares it.
    """

    def __init__(self, table: Table) -> None:
        self._convert = tuple(
            (index, column.kind.stored, column.scale)
            for index, column in enumerate(table.columns, start=1)
            if column.type not in _STORED_AS_SPELLED
        )
        self._decode = _insert_decoder(
            table.name, tuple((c.name, c.type, c.required) for c in table.columns)
        )

    def read(self, value: bytes) -> tuple[SpelledInsert, tuple[Stored, ...]] | None:
        """The insert in a record, None where that is for the full reading to say.

        Returns:
            What the record spells, and the row: its key, then the stored value of each column.
        """
        if self._decode is None:
            return None
        try:
            spelled = self._decode(value)
            if _encode(spelled) != value:
                return None
            row = _astuple(spelled.data)
            if _are_acceptable(f"{spelled.id}\n{row[0]}\n{spelled.timestamp}") is None:
                return None
            return spelled, self._stored(row) if self._convert else row
        except _UNREADABLE:
            return None

    def _stored(self, row: tuple[Any, ...]) -> tuple[Stored, ...]:
        values = list(row)
        for index, stored, scale in self._convert:
            if values[index] is not None:
                values[index] = stored(values[index], scale)
        return tuple(values)


@lru_cache(maxsize=256)
def _insert_decoder(
    name: str, columns: tuple[tuple[str, str, bool], ...]
) -> Callable[[bytes], SpelledInsert] | None:
    """Of a type that holds nothing but such an INSERT; None where no type can say so.

    Args:
        name: of the table.
        columns: name, type, and whether it is required, of each.
    """
    fields: list[tuple[str, Any, Any]] = [("key", str, msgspec.field(name="id"))]
    for index, (column, spelled_type, required) in enumerate(columns):
        kind = _JSON_TYPES.get(spelled_type)
        if kind is None:
            return None
        fields.append(
            (f"column_{index}", kind if required else kind | None, msgspec.field(name=column))
        )
    row = msgspec.defstruct("Row", fields)
    spelled = msgspec.defstruct(
        "SpelledInsert",
        [
            ("id", str),
            ("operation", Literal["INSERT"]),
            ("table_name", Literal[name]),
            ("data", row),
            ("timestamp", str),
            ("format", Literal[1]),
            ("cluster", str),
            ("node", str),
            ("actor", str),
            ("after", _Int64),
            ("fp", str),
            ("schema", _Int64),
        ],
    )
    return cast("Callable[[bytes], SpelledInsert]", msgspec.json.Decoder(spelled).decode)
