r"""Which bytes are JSON for us: a table of our own, not a library's habit.

    UTF-8 without a byte order mark      nesting at most 64
    no duplicate keys                    integers within 64 bits
    no lone surrogates, no raw controls  finite floats

The decoder is msgspec, which refuses NaN, malformed UTF-8 and lone surrogates. What it lets
pass is judged here. Duplicate keys are found without a second parse: every key has one colon
outside strings, so where the decoded value is written with as many colons as the text holds,
nothing was dropped. Only a text that does not add up, or writes characters as `\\u`, is read a
second time.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from clusterlite.core.fields import Unconvertible, check_json

DEPTH_MAX = 64

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Unreadable(ValueError):
    """Bytes that are not JSON as this module accepts it; the message says why."""


def read_json(raw: bytes, depth_max: int = DEPTH_MAX) -> Any:
    """Decode `raw` strictly.

    Args:
        raw: JSON text.
        depth_max: nesting of lists and objects, at most `DEPTH_MAX`.

    Raises:
        Unreadable: with the reason, for a person.
    """
    try:
        value = _decode(raw)
        check_json(value, depth_max)
    except Unconvertible as error:
        raise Unreadable(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_depth(raw)
        raise Unreadable(str(error)) from None
    written = _encode(value)
    if written != raw and (written.count(b":") != raw.count(b":") or b"\\u" in raw):
        _refuse_duplicate_keys(raw)
    return value


def _refuse_depth(raw: bytes) -> None:
    """Say so where nesting is why the decoder gave up; the depth counts before anything else."""
    depth = 0
    in_string = escaped = False
    for byte in raw:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:  # backslash
                escaped = True
            elif byte == 0x22:  # quote
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise Unreadable(f"nested deeper than {DEPTH_MAX}")
        elif byte in b"]}":
            depth -= 1


def _refuse_duplicate_keys(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Unreadable(f"the key {key!r} stands twice in one object")
            seen.add(key)

    json.loads(raw, object_pairs_hook=unique)
