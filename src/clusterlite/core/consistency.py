"""Levels of consistency: how new a state a read asks for.

    eventual   what this replica has now
    session    at least as new as a token
    bounded    every write that was acknowledged so many seconds before the read arrived
    strong     every write that was acknowledged before the read arrived

A token is asked for beside every level but `eventual`, with which it counts for nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

LEVELS: Final = "eventual, session, bounded:<seconds>, strong"
"""As people are told them."""

SECONDS_MAX: Final = 86_400.0
_SECONDS: Final = re.compile(r"\d{1,5}(\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bounded:
    """A level of consistency: no staler than so many seconds.

    Args:
        seconds: from 0, which asks for what `strong` gives, to 86,400.
    """

    seconds: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and 0 <= self.seconds <= SECONDS_MAX):
            raise ValueError(f"seconds must be from 0 to {SECONDS_MAX:g}, not {self.seconds}")


Level = Literal["eventual", "session", "strong"]
Consistency = Level | Bounded


def read_consistency(text: str) -> Consistency:
    """The level that a text spells.

    Raises:
        ValueError: it spells none; says which there are.
    """
    match text:
        case "eventual" | "session" | "strong":
            return text
    name, _, seconds = text.partition(":")
    if name != "bounded":
        raise ValueError(f"must be one of {LEVELS}")
    if not _SECONDS.fullmatch(seconds) or float(seconds) > SECONDS_MAX:
        raise ValueError(f"must be bounded:<seconds>, from 0 to {SECONDS_MAX:g}, as in bounded:5")
    return Bounded(float(seconds))
