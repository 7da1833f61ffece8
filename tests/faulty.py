"""A file system for SQLite that fails when a test says so; all else goes to the real one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

_names = itertools.count()


class FaultySystem(apsw.VFS):
    """Registered for as long as the object lives.

    `fault` is raised by each read or write that `operations` names, None lets all pass; `met`
    counts how often it was raised.
    """

    def __init__(self) -> None:
        self.name = f"faulty-{next(_names)}"
        self.fault: type[apsw.Error] | None = None
        self.operations: frozenset[str] = frozenset()
        self.met = 0
        super().__init__(self.name, "")

    @contextmanager
    def failing(self, fault: type[apsw.Error], *operations: str) -> Iterator[None]:
        self.fault, self.operations, self.met = fault, frozenset(operations), 0
        yield
        self.fault = None
        assert self.met > 0, "the fault was never met"

    def check(self, operation: str) -> None:
        if self.fault is not None and operation in self.operations:
            self.met += 1
            raise self.fault(f"injected into {operation}")

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, system: FaultySystem, name: Any, flags: Any) -> None:
        self._system = system
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        self._system.check("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._system.check("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._system.check("sync")
        super().xSync(flags)
