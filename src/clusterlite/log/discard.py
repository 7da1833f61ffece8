"""Taking an embedded log away for good, with all that stands in it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import apsw

from clusterlite.errors import ConfigError, FolderInUse
from clusterlite.log.base import Bounds
from clusterlite.log.doorbell import bell_folder
from clusterlite.log.file import APPLICATION_ID

_WAIT_MS: Final = 1_000
_SUFFIXES: Final = ("-journal", "-wal", "-shm", ".doubt")


class DoomedLog:
    """An embedded log that nobody else can open, until it is deleted or let go of.

    Args:
        path: of the file.

    Raises:
        ConfigError: there is no log of ClusterLite that can be read.
        FolderInUse: a node, or another program, has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ConfigError(f"there is no log at {path}")
        try:
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            self._connection.set_busy_timeout(_WAIT_MS)
            self.bounds = self._take()
        except (apsw.BusyError, apsw.LockedError) as error:
            raise FolderInUse(
                f"the log {path} is in use: stop every node on it, and what else has it open"
            ) from error
        except apsw.Error as error:
            raise ConfigError(
                f"{path} cannot be read as a log: {error}; what it is, is yours to judge: "
                "nothing is deleted"
            ) from error

    def delete(self) -> None:
        """Delete the file, what is kept beside it, and the bells of its nodes.

        Raises:
            OSError: the folder may not be written.
        """
        self.path.unlink()
        for suffix in _SUFFIXES:
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        bells = bell_folder(self.path)
        with contextlib.suppress(OSError):  # no nodes were woken yet, or other files are there
            for name in os.listdir(bells):  # noqa: PTH208 - as in doorbell
                if (bells / name).is_socket():
                    (bells / name).unlink()
            bells.rmdir()

    def release(self) -> None:
        """Let others open it, if it is still there."""
        self._connection.close()

    def _take(self) -> Bounds:
        connection = self._connection
        if connection.pragma("application_id") != APPLICATION_ID:
            raise ConfigError(f"{self.path} is no log of ClusterLite; nothing is deleted")
        # Only a connection that is alone may leave the WAL: a node that idles shows here too.
        connection.pragma("journal_mode", "delete")
        connection.execute("BEGIN EXCLUSIVE")
        first, end = connection.execute("SELECT first, next FROM meta").fetchone() or (0, 0)
        return Bounds(first, end)
