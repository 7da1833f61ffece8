"""Faults of limits: file descriptors, memory, idle and slow clients, a snapshot that is held."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import apsw

from clusterlite.testing.faults.operator import Kind, NotAsExpected, Operator

HELD_S: Final = 12.0
IDLE_CONNECTIONS: Final = 2_000
SLOW_READERS: Final = 50
SPARE_FILES: Final = 3
SPARE_BYTES: Final = 8 * 1024 * 1024
WAL_BYTES_MAX: Final = 1 << 30


class Limits:
    """Args: operator: acts on the nodes."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        return {
            "few files for a worker": Kind(lambda node: self._few_files(node, "worker"), every),
            "few files for a node": Kind(lambda node: self._few_files(node, "node"), every),
            "little memory for a worker": Kind(lambda node: self._little(node, "worker"), every),
            "little memory for a node": Kind(lambda node: self._little(node, "node"), every),
            "idle connections": Kind(self._idle, every),
            "slow readers": Kind(self._read_slowly, every),
            "snapshot held": Kind(self._hold_snapshot, every),
        }

    def _few_files(self, node: int, role: str) -> None:
        """As many as it has now, and a few: what needs more is refused while this lasts."""
        pid = self._operator.child(node, role)
        highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        with _limited(pid, resource.RLIMIT_NOFILE, highest + 1 + SPARE_FILES):
            time.sleep(HELD_S)

    def _little(self, node: int, role: str) -> None:
        """It may die of it, and is then started again."""
        pid = self._operator.child(node, role)
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        with _limited(pid, resource.RLIMIT_AS, size + SPARE_BYTES):
            time.sleep(HELD_S)

    def _idle(self, node: int) -> None:
        port = self._operator.cluster.nodes[node].port
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = IDLE_CONNECTIONS + 500
        if soft < wanted <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        with ExitStack() as opened:
            for _ in range(IDLE_CONNECTIONS):
                with contextlib.suppress(OSError):  # a limit of its own may refuse some
                    opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            time.sleep(HELD_S)

    def _read_slowly(self, node: int) -> None:
        """Lists of many rows, of which a byte a second is taken."""
        port = self._operator.cluster.nodes[node].port
        ask = f"GET /users?_limit=1000 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        with ExitStack() as opened:
            readers = []
            for _ in range(SLOW_READERS):
                reader = opened.enter_context(socket.socket())
                # Set before it connects, so that the rest stays with the node.
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.settimeout(5)
                reader.connect(("127.0.0.1", port))
                reader.sendall(ask)
                readers.append(reader)
            until = time.monotonic() + HELD_S
            while time.monotonic() < until:
                for reader in readers:
                    with contextlib.suppress(OSError):
                        reader.recv(1)
                time.sleep(1)

    def _hold_snapshot(self, node: int) -> None:
        """Nothing of the WAL can be used again while somebody reads what was before it."""
        file = self._operator.cluster.nodes[node].data / "replica-1.db"
        wal = file.with_name(f"{file.name}-wal")
        reader = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            reader.execute("BEGIN")
            before = reader.execute("SELECT position FROM _cl_state").fetchall()
            time.sleep(HELD_S)
            if reader.execute("SELECT position FROM _cl_state").fetchall() != before:
                raise NotAsExpected("a snapshot changed while it was held")
            if wal.stat().st_size > WAL_BYTES_MAX:
                raise NotAsExpected(f"{wal} has {wal.stat().st_size} bytes")
        finally:
            reader.close()


@contextmanager
def _limited(pid: int, limit: int, value: int) -> Iterator[None]:
    """Give a process a lower limit, and its own back."""
    soft, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, limit, (soft, hard))
