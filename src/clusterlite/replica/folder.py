"""The data folder: one node's, locked for as long as the node lives (rules 8).

data/
  lock              held by the running node; the kernel lets go of it when the process dies
  replica-1.db      the replica; a restore makes the next generation, never replaces a file
  node.sock         where HTTP workers reach the node process
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import IO, Final

from clusterlite.errors import ConfigError, FolderInUse

SOCKET_PATH_BYTES_MAX: Final = 100
LOCK_WAIT_S: Final = 5.0
_POLL_S: Final = 0.02


class DataFolder:
    """The folder of one node.

    Args:
        path: made by `lock` where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def replica(self) -> Path:
        """The newest generation of the replica's file."""
        generations = [
            int(file.stem.removeprefix("replica-"))
            for file in self.path.glob("replica-*.db")
            if file.stem.removeprefix("replica-").isdigit()
        ]
        return self.path / f"replica-{max(generations, default=1)}.db"

    @property
    def socket(self) -> Path:
        """Where the link listens: in the folder, or in the run-time folder if that is too long."""
        return socket_path(self.path / "node.sock")

    def lock(self, wait_s: float = LOCK_WAIT_S) -> None:
        """Take the folder for the life of this process.

        Waits a little, since a process that was just killed may not be gone yet.

        Raises:
            FolderInUse: another node holds it.
            ConfigError: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"the data folder {self.path} cannot be used: {error.strerror}; "
                "name one that this user may write with --data"
            ) from error
        deadline = time.monotonic() + wait_s
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                lock.close()
                raise FolderInUse(
                    f"the data folder {self.path} belongs to a running node (process {holder}); "
                    "stop it, or give this node a folder of its own with --data"
                )
            time.sleep(_POLL_S)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        """Let go of the folder; idempotent."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def socket_path(wanted: Path) -> Path:
    """`wanted`, or a short path that stands for it where a socket's name would be too long."""
    absolute = wanted.absolute()
    if len(os.fsencode(absolute)) <= SOCKET_PATH_BYTES_MAX:
        return absolute
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    digest = hashlib.blake2b(os.fsencode(absolute), digest_size=8).hexdigest()
    return base / f"clusterlite-{os.getuid()}-{digest}.sock"
