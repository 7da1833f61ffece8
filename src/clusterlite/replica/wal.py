"""The write-ahead log of a replica: `sqlite_wal` says how it is held to a bound.

The writer makes all checkpoints. While a reader's snapshot keeps it too long, nothing is applied.
"""

from __future__ import annotations

from typing import Final

import apsw

from clusterlite import sqlite_wal
from clusterlite.sqlite_wal import BoundedWal
from clusterlite.telemetry import get_logger

CHECKPOINT_PAGES: Final = 4_000
"""Small batches write the same pages again and again: a checkpoint moves each once."""

_log = get_logger("clusterlite.replica")


class Wal(BoundedWal):
    """Of one write connection.

    Args:
        connection: used from the thread of its writer only.
        busy_timeout_ms: that the connection has.
    """

    def __init__(self, connection: apsw.Connection, busy_timeout_ms: int) -> None:
        super().__init__(CHECKPOINT_PAGES)
        self._connection = connection
        self._busy_timeout_ms = busy_timeout_ms
        self.watch(connection)

    def held(self) -> str | None:
        """Why nothing may be written now, None where it may; tries to move what is there."""
        if not self.is_long or self.cut(self._connection):
            return None
        return (
            f"its write-ahead log has {self.bytes} bytes, since another program holds a "
            "snapshot of it"
        )

    def _wait(self, connection: apsw.Connection, *, waits: bool) -> None:
        connection.set_busy_timeout(self._busy_timeout_ms if waits else 0)

    def _warn(self) -> None:
        _log.warning(
            "snapshot_held",
            wal_bytes=self.bytes,
            cure="Another program holds a snapshot of the replica: end it, or its transaction; "
            f"nothing more is applied past {sqlite_wal.HELD_BYTES_MAX} bytes",
        )
