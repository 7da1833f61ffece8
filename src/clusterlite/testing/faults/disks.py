"""Faults of a node's own disk: full, or without power."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Final

from clusterlite.testing.faults.disk import LoopDisk, fill
from clusterlite.testing.faults.operator import Kind, Operator

FULL_WAIT_S: Final = 30.0
FULL_S: Final = 12.0


class Disks:
    """Faults of disks.

    Args:
        operator: acts on the nodes.
        full: index of the node whose disk can be filled, None for none.
        powerless: index of the node whose disk can lose its power, and that disk.
    """

    def __init__(
        self, operator: Operator, full: int | None, powerless: tuple[int, LoopDisk] | None
    ) -> None:
        self._operator = operator
        self._full = full
        self._powerless = powerless
        self._balloons: list[Path] = []

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        found: dict[str, Kind] = {}
        if self._full is not None:
            found["disk full"] = Kind(self._fill, (self._full,))
        if self._powerless is not None:
            found["power lost"] = Kind(self._lose_power, (self._powerless[0],))
        return found

    def _fill(self, index: int) -> None:
        """Fill it until the node says so, keep it full for a while, and let go of the space."""
        balloon = self._operator.cluster.nodes[index].data / "balloon"
        self._balloons.append(balloon)
        try:
            fill(
                balloon,
                lambda: self._operator.status(index).get("state") == "strained",
                FULL_WAIT_S,
            )
            time.sleep(FULL_S)
        finally:
            balloon.unlink(missing_ok=True)
        self._operator.seen["recovery strained, then space again"] += 1

    def _lose_power(self, index: int) -> None:
        assert self._powerless is not None
        disk = self._powerless[1]
        self._operator.cluster.nodes[index].held = True
        try:
            disk.lose_power()
            self._operator.end(index, signal.SIGKILL)
            disk.unmount()
            disk.mount()
        finally:
            self._operator.let_start(index)

    def heal(self) -> None:
        """Let go of the space."""
        for balloon in self._balloons:
            balloon.unlink(missing_ok=True)
