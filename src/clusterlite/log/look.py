"""Looking at a log without being a node of it: nothing is made, written, locked or woken.

`log.open.make_look` chooses. Safe beside running nodes, and allowed where a node would refuse to
start: a copied file, a topic with other settings.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import apsw

from clusterlite.errors import ConfigError, LogError, LogUnavailable
from clusterlite.log.base import Batch, Bounds, Record
from clusterlite.log.file import APPLICATION_ID, BUSY_TIMEOUT_MS
from clusterlite.log.memory import check_range

POLL_S: Final = 0.25


class FileLook:
    """A look at an embedded log.

    Args:
        path: of the file.

    Raises:
        ConfigError: there is no such log.
        LogError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.url = f"file:{path}"
        self._path = path
        if not path.is_file():
            raise ConfigError(
                f"there is no log at {path}; name it with --log, or its node's folder with --data"
            )
        self._connection = self._opened()
        if self._connection.pragma("application_id") != APPLICATION_ID:
            self._connection.close()
            raise ConfigError(f"{path} is no log of ClusterLite; name one with --log file:PATH")

    def bounds(self) -> Bounds:
        """See `base.Look`."""
        return Bounds(*self._ask("SELECT first, next FROM meta")[0])

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """See `base.Look`."""
        deadline = time.monotonic() + timeout_s
        while True:
            check_range(position, self.bounds())
            rows = self._ask(
                "SELECT position, time_ms, value FROM record WHERE position >= ?"
                " ORDER BY position LIMIT ?",
                (position, max_records),
            )
            left = deadline - time.monotonic()
            if rows or left <= 0:
                records = list(map(Record._make, rows))
                return Batch(records, records[-1].position + 1 if records else position)
            time.sleep(min(left, POLL_S))

    def close(self) -> None:
        """See `base.Look`."""
        self._connection.close()

    def _opened(self) -> apsw.Connection:
        try:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.pragma("query_only", True)
            connection.pragma("application_id")
        except apsw.NotADBError as error:
            raise ConfigError(f"{self._path} is no log of ClusterLite: {error}") from error
        except apsw.Error as error:
            raise self._unreadable(error) from error
        return connection

    def _ask(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(sql, bindings).fetchall()
        except (apsw.BusyError, apsw.LockedError) as error:
            raise LogUnavailable(f"{self._path}: {error}; try again") from error
        except apsw.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: apsw.Error) -> LogError:
        return LogError(
            f"the log {self._path} cannot be read: {error}. Read it as the user that its nodes "
            "run as; if it is damaged, restore it from a copy and delete nothing"
        )
