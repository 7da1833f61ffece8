"""The write-ahead log of an embedded log: when it is moved into the file, how long it may grow.

1. It is moved at the end of a COMMIT, in place of SQLite's own checkpoint, which says nothing of
   a write or an fsync that failed.
2. Whoever holds a snapshot of the file keeps every page that is written meanwhile in the WAL. Past
   a bound nothing is appended until the snapshot is gone (I14): asked before an append begins, so
   that a refusal is definite (I2).
3. Each process counts by its own commits: those that share a log may pass the bound by one append
   each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from clusterlite.errors import LogUnavailable
from clusterlite.log.place import snapshot_holders
from clusterlite.telemetry import get_logger

WAL_KEPT_BYTES: Final = 16 * 1024 * 1024
"""How much of it stays on the disk when it begins anew."""

CHECKPOINT_PAGES: Final = 1_000
HELD_BYTES_WARN: Final = 256 * 1024 * 1024
HELD_BYTES_MAX: Final = 1024 * 1024 * 1024

_PASSING: Final = (apsw.BusyError, apsw.LockedError, apsw.FullError)

_log = get_logger("clusterlite.log")


class Wal:
    """Of one log file, as one handle sees it.

    Args:
        path: of the log.
        waits: the busy handler of the handle's connections.
    """

    def __init__(self, path: Path, waits: Callable[[int], bool] | None = None) -> None:
        self.bytes = 0
        """Its length after this handle's last commit, or its last look."""
        self._path = path
        self._waits = waits
        self._page_bytes = 0
        self._warned = False

    def watch(self, connection: apsw.Connection) -> None:
        """Move and count what this connection commits."""
        self._page_bytes = int(connection.pragma("page_size"))
        connection.set_wal_hook(self._committed)

    def check(self, connection: apsw.Connection) -> None:
        """Whether an append may begin; moves and cuts a WAL that is too long, without a wait.

        Args:
            connection: to the log, outside of a transaction; used from the caller's thread.

        Raises:
            LogUnavailable: a snapshot that is held keeps it too long. Nothing was written.
            apsw.Error: the file could not be written.
        """
        if self.bytes <= HELD_BYTES_MAX:
            return
        connection.set_busy_handler(None)
        try:
            left, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError) as error:
            raise self._held() from error
        finally:
            connection.set_busy_handler(self._waits)
        self.bytes = max(0, left) * self._page_bytes
        self._warned = False

    def _held(self) -> LogUnavailable:
        holders = snapshot_holders(self._path)
        who = "another program holds"
        if holders:
            processes = "process" if len(holders) == 1 else "one of the processes"
            who = f"{processes} {', '.join(map(str, holders))} holds"
        return LogUnavailable(
            f"the write-ahead log of the log {self._path} has {self.bytes} bytes, since {who} a "
            "snapshot of it",
            "End that program, or its transaction; the node goes on by itself",
        )

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.bytes = pages * self._page_bytes
        if pages >= CHECKPOINT_PAGES:
            with contextlib.suppress(*_PASSING):  # the next COMMIT tries again
                connection.wal_checkpoint(name)
        if self.bytes > HELD_BYTES_WARN and not self._warned:
            self._warned = True
            _log.warning("log_snapshot_held", wal_bytes=self.bytes, cure=self._held().cure)
        elif self.bytes <= HELD_BYTES_WARN // 2:
            self._warned = False
        return apsw.SQLITE_OK
