"""Doorbells: how a reader learns, without asking again and again, that there may be more.

`Pipe` wakes readers of this process. `SocketBell` is a datagram socket beside the file log, one
for each reader, that appenders of other processes send a byte to. A bell may ring in vain and
a ring may get lost with a process: readers look at the log itself, and poll slowly as a net.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import tempfile
import uuid
from pathlib import Path
from typing import Final

from clusterlite.errors import ConfigError, LogUnavailable

SOCKET_PATH_BYTES_MAX: Final = 100
_NAME_BYTES: Final = 12
_RING: Final = b"\0"
_GONE: Final = frozenset({errno.ECONNREFUSED, errno.ENOENT})


class Pipe:
    """A bell within one process."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def fileno(self) -> int:
        """Readable once it rang."""
        return self._heard.fileno()

    def ring(self) -> None:
        """Wake the reader; never blocks, a full pipe has rung already."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._rung.send(_RING)

    def silence(self) -> None:
        """Forget every ring so far; before looking, so that none is missed."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard.recv(16)

    def close(self) -> None:
        """Let go of both ends."""
        self._rung.close()
        self._heard.close()


class SocketBell:
    """One reader's bell, beside the log's file.

    Args:
        folder: of the bells of this log.

    Raises:
        ConfigError: no socket can stand there.
        LogUnavailable: the process has no descriptor left for one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / uuid.uuid4().hex[:_NAME_BYTES]
        self._socket = _datagram_socket()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._socket.bind(os.fspath(self.path))
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"a socket cannot be made in {folder}, by which the log wakes its nodes: "
                f"{error.strerror}"
            ) from error

    def fileno(self) -> int:
        """Readable once it rang."""
        return self._socket.fileno()

    def silence(self) -> None:
        """Forget every ring so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)

    def close(self) -> None:
        """Take the bell away."""
        self._socket.close()
        self.path.unlink(missing_ok=True)


class Ringer:
    """Rings the bells of every reader but one's own.

    Args:
        folder: of the bells of this log.

    Raises:
        LogUnavailable: the process has no descriptor left for a socket.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = _datagram_socket()

    def ring(self, own: SocketBell | None) -> None:
        """Ring; never blocks, never fails: who is not woken looks by itself before long.

        The bell of a reader that died is taken away.
        """
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - half the time of iterdir
        except OSError:
            return
        silent = "" if own is None else own.path.name
        for name in names:
            if name == silent:
                continue
            path = self._folder / name
            try:
                self._socket.sendto(_RING, os.fspath(path))
            except BlockingIOError:
                continue  # it has rung already and was not heard yet
            except OSError as error:
                if error.errno in _GONE and path.is_socket():
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _datagram_socket() -> socket.socket:
    try:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError as error:
        raise LogUnavailable(f"no socket for the log's doorbell: {error.strerror}") from error
    made.setblocking(False)
    return made


def bell_folder(log: Path) -> Path:
    """Where the bells of a log stand: beside it, or in the run-time folder.

    A socket's name must be short; every process finds the same folder from the same file.
    """
    beside = log.absolute().with_name(log.name + ".bells")
    if len(os.fsencode(beside)) + 1 + _NAME_BYTES <= SOCKET_PATH_BYTES_MAX:
        return beside
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    digest = hashlib.blake2b(os.fsencode(log.resolve()), digest_size=8).hexdigest()
    return base / f"clusterlite-{os.getuid()}-{digest}.bells"
