"""Tokens: `<cluster id>:<position>`.

Given with every answer; sent back, one asks for a state at least that new.
"""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """A state of one cluster that was seen."""

    cluster: str
    position: int

    def __str__(self) -> str:
        return f"{self.cluster}:{self.position}"

    @classmethod
    def parse(cls, text: str) -> Token | None:
        """The token in `text`, None where it is none."""
        cluster, colon, digits = text.strip().rpartition(":")
        number = digits.removeprefix("-")
        if not colon or not cluster or not number.isascii() or not number.isdigit():
            return None
        if len(number) > 18:
            return None
        return cls(cluster, int(digits))
