"""The data folder: one node's, locked for as long as the node lives.

data/
  lock              held by the running node; the kernel lets go of it when the process dies.
                    Says which process that is
  doubt             the replica is to be checked before it is used again; seldom there
  replica-1.db      the replica; a restore makes the next generation, never replaces a file
  node.sock         where HTTP workers reach the node process
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import IO, Final

from clusterlite.errors import ClusterLiteError, ConfigError, FolderInUse, Halt

SOCKET_PATH_BYTES_MAX: Final = 100
LOCK_WAIT_S: Final = 5.0
_POLL_S: Final = 0.02
_DOUBTFUL: Final = frozenset({"replica_io", "replica_corrupt"})


class DataFolder:
    """The folder of one node.

    Args:
        path: made by `lock` where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        self._kept: dict[Path, int] = {}

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
            raise self._unusable(error) from error
        deadline = time.monotonic() + wait_s
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise self._in_use(lock)
            time.sleep(_POLL_S)
        try:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it tries to write again
                lock.close()
            raise self._unusable(error) from error
        self._lock = lock
        self.keep(self.path / "lock")

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"the data folder {self.path} cannot be used: {error.strerror}; "
            "choose one that this user may write, on a disk with room"
        )

    def _in_use(self, lock: IO[str]) -> FolderInUse:
        with lock:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
        return FolderInUse(
            f"the data folder {self.path} belongs to a running node (process {holder}): "
            "a folder is one node's. Stop that one, or give this node a folder of its own; "
            "both may follow one log"
        )

    def unlock(self) -> None:
        """Let go of the folder; idempotent."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def is_held(self) -> bool:
        """Whether a running node has it: a copied folder has the lock's file, and nobody's lock."""
        try:
            with (self.path / "lock").open("a", encoding="utf-8") as lock:
                return not _try_lock(lock)
        except OSError:
            return False

    def keep(self, file: Path) -> None:
        """Note a file that has to stay where it is while the node runs."""
        self._kept[file.absolute()] = file.stat().st_ino

    def check_there(self) -> None:
        """Whether every kept file is still where it was.

        Raises:
            Halt: `folder_gone`: another node could start in its place.
        """
        for file, inode in self._kept.items():
            try:
                if file.stat().st_ino == inode:
                    continue
                found = "another file took its place"
            except OSError as error:
                found = error.strerror or str(error)
            raise Halt(
                "folder_gone",
                f"{file} is not there any more: {found}",
                "Start the node again: it builds its replica anew from the log. Where the log "
                "itself stood in that folder, put both back from a copy first",
            )

    def note_doubt(self, error: ClusterLiteError) -> None:
        """Leave word for the next start where a halt leaves the replica in doubt."""
        if isinstance(error, Halt) and error.reason in _DOUBTFUL:
            with contextlib.suppress(OSError):  # a disk that takes nothing any more
                self._doubt.write_text(f"{error}\n")

    @property
    def doubted(self) -> bool:
        """Whether the replica is to be checked before it is used."""
        return self._doubt.exists()

    def forget_doubt(self) -> None:
        """The replica was checked."""
        self._doubt.unlink(missing_ok=True)

    @property
    def _doubt(self) -> Path:
        return self.path / "doubt"


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
    run_time = os.environ.get("XDG_RUNTIME_DIR", "")
    # It may be another user's, or of a session that is over.
    base = Path(run_time if os.access(run_time, os.W_OK | os.X_OK) else tempfile.gettempdir())
    digest = hashlib.blake2b(os.fsencode(absolute), digest_size=8).hexdigest()
    return base / f"clusterlite-{os.getuid()}-{digest}.sock"
