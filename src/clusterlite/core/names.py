"""Which names and keys are acceptable, everywhere alike.

Tables and fields: `[A-Za-z][A-Za-z0-9_]{0,62}`. They are compared as SQLite compares them, with
ASCII case folded. Keys that our own writers bring: 1 to 255 code points, no control characters,
not beginning with `_` or `-`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}\Z")
_SQLITE = "sqlite_"

KEY: Final = r"[^\x00-\x1f\x7f-\x9f_-][^\x00-\x1f\x7f-\x9f]{0,254}"
"""A pattern of the keys that our own writers bring,"""

EVENT_ID: Final = r"[^\x00-\x1f\x7f-\x9f_@-][^\x00-\x1f\x7f-\x9f]{0,254}"
"""and of their events' ids: `@` begins the name of an event without one."""

_KEY = re.compile(KEY + r"\Z")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

KEY_RULE = "1 to 255 characters, no control characters, not beginning with '_' or '-'"
_CACHED: Final = 4_096
"""Names whose judgement is remembered: every record names its table."""

NAME_RULE = "a letter, then up to 62 letters, digits and underscores"


@lru_cache(_CACHED)
def fold(name: str) -> str:
    """The name as it is compared: ASCII letters in lower case, all others as they are."""
    return name.translate(_UPPER)


@lru_cache(_CACHED)
def is_name(name: str) -> bool:
    """Whether `name` may be a table or a field."""
    return _NAME.match(name) is not None and not fold(name).startswith(_SQLITE)


def is_key(key: str) -> bool:
    """Whether `key` may be the id of a row or of an event that we write."""
    return _KEY.match(key) is not None
