"""A SQLite write-ahead log (WAL): when it is moved into its file, how long it may grow.

1. It is moved at the end of a COMMIT, in place of SQLite's own checkpoint, which counts no pages
   and says nothing of a write or an fsync that failed. The commit stands whatever becomes of it:
   what passes is tried again by the next one.
2. Whoever holds a snapshot of the file keeps every page that is written meanwhile in the WAL. Past
   a bound its owner writes nothing more until the snapshot is gone (I14); the disk is never filled
   for it.
3. A long WAL is moved before it is cut: only the cut needs the write lock.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import Final

import apsw

HELD_BYTES_WARN: Final = 256 * 1024 * 1024
HELD_BYTES_MAX: Final = 1024 * 1024 * 1024
"""The longest WAL; with more, reads through it become slow as well."""

_PASSING: Final = (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.NoMemError)


class BoundedWal(ABC):
    """Of one file, as its connections in one process see it.

    Args:
        checkpoint_pages: it is moved once it has so many.
    """

    def __init__(self, checkpoint_pages: int) -> None:
        self.bytes = 0
        """Its length after the last commit of these connections, or their last look."""
        self.checkpoint_pages = checkpoint_pages
        self._page_bytes = 0
        self._warned = False

    def watch(self, connection: apsw.Connection) -> None:
        """Move and count what this connection commits."""
        self._page_bytes = int(connection.pragma("page_size"))
        connection.set_wal_hook(self._committed)

    @property
    def is_long(self) -> bool:
        """Whether it is past the bound, and nothing is to be written."""
        return self.bytes > HELD_BYTES_MAX

    def cut(self, connection: apsw.Connection) -> bool:
        """Move it all and begin it anew, without a wait; whether nothing was in the way.

        Args:
            connection: watched, outside of a transaction; used from the caller's thread.

        Raises:
            apsw.Error: the file could not be written.
        """
        self._wait(connection, waits=False)
        try:
            pages, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if moved < pages:
                return False
            pages, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            return False
        finally:
            self._wait(connection, waits=True)
        self.bytes = max(0, pages) * self._page_bytes
        self._warned = False
        return True

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.bytes = pages * self._page_bytes
        if pages >= self.checkpoint_pages:
            with contextlib.suppress(*_PASSING):
                connection.wal_checkpoint(name)
        if self.bytes > HELD_BYTES_WARN and not self._warned:
            self._warned = True
            self._warn()
        elif self.bytes <= HELD_BYTES_WARN // 2:
            self._warned = False
        return apsw.SQLITE_OK

    @abstractmethod
    def _wait(self, connection: apsw.Connection, *, waits: bool) -> None:
        """Let a connection wait for locks as its owner has it, or not at all."""

    @abstractmethod
    def _warn(self) -> None:
        """Tell once that it is long: a snapshot is held."""
