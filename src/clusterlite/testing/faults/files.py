"""Faults of a replica's files: bits flipped, cut off, lengthened, zeroed; gone altogether.

What must hold depends on where the damage is:

- Without its first page, or shorter than it says, the file is refused at start or at the next
  read: halt `replica_corrupt`.
- A WAL that is damaged beyond what was moved into the file is cut there: the node applies the
  rest again, and comes back by itself.
- A bit within a row is nothing that SQLite can see. `clusterlite verify` says another content
  hash; a node that served such a file would go on until a checkpoint differs. So what only
  `verify` can see is tried on a stopped node, and not served.

The cure is the same: `clusterlite repair`, or `clusterlite reset`; it is derived from the log.
"""

from __future__ import annotations

import os
import random
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from clusterlite.testing.cluster.nodes import ClusterNode
from clusterlite.testing.faults.operator import Kind, NotAsExpected, Operator

FLIPS: Final = 16
RUNNING_S: Final = 8.0
"""How long a node runs on a file that was damaged under it."""

_PAGE: Final = 4096
_WAL_HEADER: Final = 32
_FRAME: Final = 24 + _PAGE
_SHM_FRAMES_AT: Final = 16
_SHM_MOVED_AT: Final = 128
"""In the WAL's index: how many frames there are, and how many may be in the file already
(https://www.sqlite.org/walformat.html#the_wal_index_file_format)."""

Damage = Callable[[Path], None]


class Files:
    """Faults of files.

    Args:
        operator: acts on the nodes.
        chance: picks the place.
    """

    def __init__(self, operator: Operator, chance: random.Random) -> None:
        self._operator = operator
        self._chance = chance

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        return {
            "replica bits flipped": Kind(self._flip, every),
            "replica truncated": Kind(lambda node: self._refused(node, self._truncate), every),
            "replica zeroed": Kind(lambda node: self._refused(node, self._zero_begin), every),
            "replica emptied": Kind(self._empty, every),
            "replica extended": Kind(self._extend, every),
            "WAL damaged": Kind(self._damage_wal, every),
            "WAL truncated": Kind(self._truncate_wal, every),
            "replica truncated while running": Kind(
                lambda node: self._while_running(node, self._truncate), every
            ),
            "replica zeroed while running": Kind(
                lambda node: self._while_running(node, self._zero_all), every
            ),
            "replica removed while running": Kind(self._remove, every),
        }

    # Of a stopped node.

    def _flip(self, node: int) -> None:
        file = self._stopped(node)
        _, sound = self._operator.verify(file.parent)
        _flip_bits(file, 0, file.stat().st_size, FLIPS, self._chance)
        said, found = self._operator.verify(file.parent)
        if said == "good" and found == sound:
            self._operator.seen["bits flipped in unused space"] += 1
            self._operator.let_start(node)
            return
        told = "another content hash" if said == "good" else said
        self._operator.seen[f"found by verify: {told}"] += 1
        self._operator.reset(node)

    def _refused(self, node: int, damage: Damage) -> None:
        damage(self._stopped(node))
        self._operator.wait_refused(node, "replica_corrupt")
        self._operator.repair(node)

    def _empty(self, node: int) -> None:
        """An empty file is a new one: the replica is derived again."""
        os.truncate(self._stopped(node), 0)
        self._operator.seen["recovery derived from the log"] += 1
        self._operator.let_start(node)

    def _extend(self, node: int) -> None:
        """What stands behind the last page is nobody's."""
        with self._stopped(node).open("ab") as file:
            file.write(self._chance.randbytes(self._chance.randint(1, 10 * _PAGE)))
        self._operator.seen["recovery served as it is: file too long"] += 1
        self._operator.let_start(node)

    def _stopped(self, node: int) -> Path:
        """Stop a node in order, with all of its WAL moved into the file; the file."""
        file = _replica(self._operator.stop(node))
        connection = apsw.Connection(str(file))
        connection.pragma("wal_checkpoint(TRUNCATE)")
        connection.close()
        return file

    def _truncate(self, file: Path) -> None:
        os.truncate(file, int(file.stat().st_size * self._chance.uniform(0.1, 0.9)))

    def _zero_begin(self, file: Path) -> None:
        with file.open("r+b") as opened:
            opened.write(bytes(self._chance.randint(1, 8) * _PAGE))

    def _zero_all(self, file: Path) -> None:
        size = file.stat().st_size
        with file.open("r+b") as opened:
            opened.write(bytes(size))

    # Of a node that was killed: its WAL holds what the file has not.

    def _damage_wal(self, node: int) -> None:
        found = self._unmoved(node)
        if found is not None:
            wal, begin = found
            _flip_bits(wal, begin, begin + _FRAME, 1, self._chance)
        self._operator.let_start(node)

    def _truncate_wal(self, node: int) -> None:
        found = self._unmoved(node)
        if found is not None:
            wal, begin = found
            os.truncate(wal, begin + self._chance.randrange(_FRAME))
        self._operator.let_start(node)

    def _unmoved(self, node: int) -> tuple[Path, int] | None:
        """Kill a node; its WAL, and where in it a frame begins that the file does not have."""
        file = _replica(self._operator.stop(node, signal.SIGKILL))
        index = file.with_name(f"{file.name}-shm").read_bytes()
        frames = struct.unpack_from("=I", index, _SHM_FRAMES_AT)[0]
        moved = struct.unpack_from("=I", index, _SHM_MOVED_AT)[0]
        if frames <= moved:
            self._operator.seen["WAL had nothing of its own"] += 1
            return None
        self._operator.seen["recovery WAL cut at its damage, the rest applied again"] += 1
        return file.with_name(f"{file.name}-wal"), _WAL_HEADER + _FRAME * self._chance.randrange(
            moved, frames
        )

    # Of a running node.

    def _while_running(self, node: int, damage: Damage) -> None:
        """It notices as soon as it reads what is gone; what it has in memory it need not read."""
        damage(_replica(self._operator.cluster.nodes[node]))
        try:
            self._operator.wait_halt(node, "replica_corrupt", "replica_io", wait_s=RUNNING_S)
        except NotAsExpected:
            if self._operator.status(node).get("state") == "halted":
                raise
            data = self._operator.stop(node).data
            said, _ = self._operator.verify(data)
            self._operator.seen[f"not met by the node, all in memory; verify: {said}"] += 1
        self._operator.repair(node)

    def _remove(self, node: int) -> None:
        file = _replica(self._operator.cluster.nodes[node])
        for found in file.parent.glob("replica-*"):
            found.unlink()
        self._operator.wait_halt(node, "folder_gone")
        self._operator.restart_halted(node, "restart: derived from the log")


def _replica(node: ClusterNode) -> Path:
    return node.data / "replica-1.db"


def _flip_bits(file: Path, begin: int, end: int, count: int, chance: random.Random) -> None:
    """Flip that many bits, each within `[begin, end)`."""
    with file.open("r+b") as opened:
        for _ in range(count):
            place = chance.randrange(begin, end)
            opened.seek(place)
            byte = opened.read(1)[0]
            opened.seek(place)
            opened.write(bytes([byte ^ 1 << chance.randrange(8)]))
