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

    Args:
        every: whether each connection of this process goes through it, not only those that name it.
        ending: of the names of the files that can fail.
    """

    def __init__(self, *, every: bool = False, ending: str = "") -> None:
        self.name = f"faulty-{next(_names)}"
        self.fault: type[apsw.Error] | None = None
        self.operations: frozenset[str] = frozenset()
        self.met = 0
        self.ending = ending
        self.real = apsw.vfs_names()[0]
        super().__init__(self.name, self.real, every)

    @contextmanager
    def failing(self, fault: type[apsw.Error], *operations: str) -> Iterator[None]:
        self.fault, self.operations, self.met = fault, frozenset(operations), 0
        try:
            yield
        finally:
            self.fault = None
        assert self.met > 0, "the fault was never met"

    def check(self, operation: str, name: str) -> None:
        if self.fault is not None and operation in self.operations and name.endswith(self.ending):
            self.met += 1
            raise self.fault(f"injected into {operation}")

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, system: FaultySystem, name: Any, flags: Any) -> None:
        self._system = system
        spelled = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = str(spelled)
        super().__init__(system.real, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        self._system.check("read", self._name)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._system.check("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._system.check("sync", self._name)
        super().xSync(flags)

    def xLock(self, level: int) -> None:  # noqa: N802 - SQLite's name
        try:
            super().xLock(level)
        except apsw.IOError as error:
            # A file that was opened to be read cannot be locked to be written, which SQLite tries
            # and passes over as it closes. Seen through this class it would be an exception.
            raise apsw.BusyError from error
