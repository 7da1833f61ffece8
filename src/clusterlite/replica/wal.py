"""The write-ahead log of a replica: when it is moved into the file, and how long it may grow.

1. The writer makes all checkpoints, at the end of a COMMIT. In place of SQLite's own, since it
   counts the pages too.
2. A reader that holds a snapshot keeps pages in the WAL for as long as it does. Past a bound
   nothing more is applied until it has gone (I14); the disk is never filled for it.
"""

from __future__ import annotations

import contextlib
from typing import Final

import apsw

from clusterlite.telemetry import get_logger

CHECKPOINT_PAGES: Final = 4_000
"""Small batches write the same pages again and again: a checkpoint moves each once."""

HELD_BYTES_WARN: Final = 256 * 1024 * 1024
HELD_BYTES_MAX: Final = 1024 * 1024 * 1024
"""The longest WAL; with more, reads through it become slow as well."""

_PASSING: Final = (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.NoMemError)

_log = get_logger("clusterlite.replica")


class Wal:
    """Of one write connection.

    Args:
        connection: used from the thread of its writer only.
        busy_timeout_ms: that the connection has.
    """

    def __init__(self, connection: apsw.Connection, busy_timeout_ms: int) -> None:
        self.bytes = 0
        """Its length after the last commit."""
        self._connection = connection
        self._busy_timeout_ms = busy_timeout_ms
        self._page_bytes = int(connection.pragma("page_size"))
        self._warned = False
        connection.set_wal_hook(self._committed)

    def held(self) -> str | None:
        """Why nothing may be written now, None where it may; tries to move what is there."""
        if self.bytes <= HELD_BYTES_MAX:
            return None
        self._connection.set_busy_timeout(0)
        try:
            left, _ = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            return (
                f"its write-ahead log has {self.bytes} bytes, since another program holds a "
                "snapshot of it"
            )
        finally:
            self._connection.set_busy_timeout(self._busy_timeout_ms)
        self.bytes = max(0, left) * self._page_bytes
        return None

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.bytes = pages * self._page_bytes
        if pages >= CHECKPOINT_PAGES:
            # The commit stands; what was not moved is tried again by the next one.
            with contextlib.suppress(*_PASSING):
                connection.wal_checkpoint(name)
        if self.bytes <= HELD_BYTES_WARN // 2:
            self._warned = False
        elif self.bytes > HELD_BYTES_WARN and not self._warned:
            self._warned = True
            _log.warning(
                "snapshot_held",
                wal_bytes=self.bytes,
                cure="Another program holds a snapshot of the replica: end it, or its transaction; "
                f"nothing more is applied past {HELD_BYTES_MAX} bytes",
            )
        return apsw.SQLITE_OK
