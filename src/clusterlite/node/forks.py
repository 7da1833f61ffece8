"""Forks. A process that was forked while a node was open may use no SQLite file of that node.

It inherits the connections without their locks, since those are the parent's, and none of the
threads. What it would write could be lost with a WAL that the parent removes ("How To Corrupt An
SQLite Database File", 2.6). So there the node that it inherited refuses every use, and a new one
does not open.
"""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet

from clusterlite.errors import ConfigError

FORKED: Final = (
    "this process was forked while a node was open, and neither SQLite nor a node's threads "
    "survive that: open the node in each process after the fork, or start processes with 'spawn'"
)


class Inheritable(Protocol):
    """What a fork finds open."""

    def leave_to_parent(self) -> None:
        """Forget everything, and close nothing: it is the parent's."""


_open: Final[WeakSet[Inheritable]] = WeakSet()
_inherited: Final[list[Inheritable]] = []
"""In a forked process: kept, since what is let go of is closed."""


def note_open(part: Inheritable) -> None:
    """From now on a fork would inherit it.

    Raises:
        ConfigError: this process inherited another one itself.
    """
    if _inherited:
        raise ConfigError(FORKED)
    _open.add(part)


def note_closed(part: Inheritable) -> None:
    """A fork inherits nothing of it any more; idempotent."""
    _open.discard(part)


def _in_child() -> None:
    _inherited.extend(_open)
    for part in _inherited:
        part.leave_to_parent()


os.register_at_fork(after_in_child=_in_child)
