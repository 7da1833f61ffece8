"""The write-ahead log of an embedded log: `sqlite_wal` says how it is held to a bound.

1. Whether it is too long is asked before an append begins, so that a refusal is definite (I2).
2. Each process counts by its own commits: those that share a log may pass the bound by one append
   each.
3. A refusal names who is in the way by the locks that are held, and never this process's own move.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from clusterlite.errors import LogUnavailable
from clusterlite.log.place import snapshot_holders, write_lock_holder
from clusterlite.sqlite_wal import BoundedWal
from clusterlite.telemetry import get_logger

WAL_KEPT_BYTES: Final = 16 * 1024 * 1024
"""How much of it stays on the disk when it begins anew."""

CHECKPOINT_PAGES: Final = 1_000

_log = get_logger("clusterlite.log")


class Wal(BoundedWal):
    """Of one log file, as one handle sees it.

    Args:
        path: of the log.
        waits: the busy handler of the handle's connections.
    """

    def __init__(self, path: Path, waits: Callable[[int], bool] | None = None) -> None:
        super().__init__(CHECKPOINT_PAGES)
        self._path = path
        self._waits = waits
        self._cutting = False

    def check(self, connection: apsw.Connection) -> None:
        """Whether an append may begin; moves and cuts a WAL that is too long, without a wait.

        Args:
            connection: to the log, outside of a transaction; used from the caller's thread.

        Raises:
            LogUnavailable: it stays too long for now. Nothing was written.
            apsw.Error: the file could not be written.
        """
        if not self.is_long:
            return
        if self._cutting:  # by the handle's other connection, on another thread
            raise LogUnavailable(
                f"{self._long()} which are being moved into its file",
                "Wait: the node goes on by itself",
            )
        self._cutting = True
        try:
            done = self.cut(connection)
        finally:
            self._cutting = False
        if not done:
            raise self._kept()

    def _kept(self) -> LogUnavailable:
        writer = write_lock_holder(self._path)
        if writer is not None:
            return LogUnavailable(
                f"{self._long()} and cannot begin anew, since process {writer} holds the write "
                "lock of it",
                "End that program, or let it finish; the node goes on by itself",
            )
        return self._held()

    def _held(self) -> LogUnavailable:
        holders = snapshot_holders(self._path)
        who = "another program holds"
        if holders:
            processes = "process" if len(holders) == 1 else "one of the processes"
            who = f"{processes} {', '.join(map(str, holders))} holds"
        return LogUnavailable(
            f"{self._long()} since {who} a snapshot of it",
            "End that program, or its transaction; the node goes on by itself",
        )

    def _long(self) -> str:
        return f"the write-ahead log of the log {self._path} has {self.bytes} bytes,"

    def _wait(self, connection: apsw.Connection, *, waits: bool) -> None:
        connection.set_busy_handler(self._waits if waits else None)

    def _warn(self) -> None:
        _log.warning("log_snapshot_held", wal_bytes=self.bytes, cure=self._held().cure)
