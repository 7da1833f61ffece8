"""The listening socket of a `serve`, and what to say where there can be none."""

from __future__ import annotations

import errno
import socket
import time
from pathlib import Path
from typing import Any, Final, NoReturn

from clusterlite.cli.neighbours import describe, holds, status_of, url_of
from clusterlite.errors import ConfigError

BIND_WAIT_S: Final = 3.0
"""A node that was just killed may hold the port a moment longer."""

BACKLOG: Final = 2048
_POLL_S: Final = 0.1
_CURES: Final = {
    errno.EACCES: "choose a port above 1023, or let the system allow this one",
    errno.EADDRNOTAVAIL: "this machine has no such address; see --host",
}


def bind(host: str, port: int, data: Path) -> socket.socket:
    """The listening socket.

    Args:
        host: address to listen on.
        port: 0 takes a free one.
        data: this node's folder, to say whether a node that listens there already holds it.

    Raises:
        ConfigError: the address cannot be listened on; names who does, and the cure.
    """
    deadline = time.monotonic() + BIND_WAIT_S
    other: dict[str, Any] | None = None
    while True:
        try:
            return _listen(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                cure = _CURES.get(error.errno or 0, "see --host and --port")
                raise ConfigError(
                    f"cannot listen on {host}:{port}: {error.strerror}; {cure}"
                ) from error
        # Who answers twice is not about to end.
        before, other = other, status_of(url_of(host, port))
        if (before is not None and other is not None) or time.monotonic() > deadline:
            _in_use(host, port, data, other)
        time.sleep(_POLL_S)


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM
    )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _in_use(host: str, port: int, data: Path, other: dict[str, Any] | None) -> NoReturn:
    if other is None:
        raise ConfigError(
            f"cannot listen on {host}:{port}: Address already in use by another program; "
            "choose another port with --port, or a free one with --port 0"
        )
    cure = "or take another port with --port, a free one with --port 0"
    if holds(data, other):
        cure = "or stop it first; a node beside it takes --port 0 and a --data of its own"
    raise ConfigError(
        f"cannot listen on {host}:{port}: a ClusterLite node already serves there, "
        f"{describe(other, data)}: open {url_of(host, port)}/-/ui/, {cure}"
    )
