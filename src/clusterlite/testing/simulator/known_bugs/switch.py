"""A known bug's switch: it changes what this process runs, until it is undone."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self


class Switch:
    """Sets attributes of modules and classes, and puts them back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Set an attribute that is there.

        Returns:
            What it was.
        """
        before = vars(owner)[name]
        self._before.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._before:
            owner, name, before = self._before.pop()
            setattr(owner, name, before)


class Trial(NamedTuple):
    """What a try to see a bug gave.

    Args:
        operations: that it took.
        violations: that it found; empty where it saw nothing.
    """

    operations: int
    violations: list[str]


class Bug(NamedTuple):
    """A known bug.

    Args:
        bring: changes one line of product behaviour.
        trial: tries to see it, by a seed.
        seeds: within so many it must be seen.
    """

    bring: Callable[[Switch], None]
    trial: Callable[[int], Trial]
    seeds: int = 60

    @property
    def name(self) -> str:
        """As commands and tests call it."""
        return self.bring.__name__

    @property
    def about(self) -> str:
        """What goes wrong, in one line."""
        return (self.bring.__doc__ or "").strip().splitlines()[0]
