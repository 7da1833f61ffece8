"""The hashes that tell replicas apart. Their bytes never change.

Running hash: `H(-1)` is 32 zero bytes; at each applied record

    H = BLAKE2b-256(H || MessagePack([position, event id, verdict, code, images]))

An image is `[table, key, fields]`, `fields` a map with its names in code point order, or nil
where the row is gone. MessagePack in its shortest form tags every type and writes REAL as its
8 bytes. Images are taken from the values that the applier binds, never read back from SQLite.

BLAKE2: RFC 7693. MessagePack: the format's specification, "serialization: type to format".
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from clusterlite.core.outcome import Row

ZERO: Final = bytes(32)
MARK_EVERY: Final = 1024
"""Positions at whose multiples each replica keeps its running hash."""

_pack = msgspec.msgpack.Encoder().encode


def advance(
    previous: bytes,
    position: int,
    event_id: str,
    verdict: str,
    code: str | None,
    images: Sequence[Row],
) -> bytes:
    """The running hash after one more record; 32 bytes."""
    payload = _pack((position, event_id, verdict, code, images))
    return blake2b(previous + payload, digest_size=32).digest()


def record_hash(value: bytes) -> bytes:
    """What a replica stores to recognise the record at its position; 32 bytes."""
    return blake2b(value, digest_size=32).digest()


def mark_between(before: int, position: int) -> int | None:
    """The highest multiple of `MARK_EVERY` in `(before, position]`, None where there is none."""
    mark = position - position % MARK_EVERY
    return mark if mark > before else None
