"""Faults of processes: killed, paused, restarted in turn."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from clusterlite.testing.faults.operator import Kind, NotAsExpected, Operator, wait_gone

PAUSE_S: Final = 5.0
READY_WAIT_S: Final = 60.0


class Processes:
    """Args: operator: acts on the nodes."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        return {
            "node process killed": Kind(lambda node: self._kill_child(node, "node"), every),
            "worker killed": Kind(lambda node: self._kill_child(node, "worker"), every),
            "whole node killed": Kind(self._kill_tree, every),
            "all nodes killed": Kind(lambda _: self._kill_all()),
            "node paused": Kind(self._pause, every),
            "all nodes paused": Kind(lambda _: self._pause_all()),
            "rolling restart": Kind(lambda _: self._restart_in_turn()),
        }

    def _kill_child(self, node: int, role: str) -> None:
        pid = self._operator.child(node, role)
        os.kill(pid, signal.SIGKILL)
        wait_gone([pid])

    def _kill_tree(self, node: int) -> None:
        """Its parent only: the children end with it."""
        self._operator.end(node, signal.SIGKILL)

    def _kill_all(self) -> None:
        operator = self._operator
        trees = [operator.tree(node) for node in operator.every]
        for tree in trees:
            os.kill(tree[0], signal.SIGKILL)
        for tree in trees:
            wait_gone(tree)

    def _pause(self, node: int) -> None:
        self._operator.pause(self._operator.tree(node), PAUSE_S)

    def _pause_all(self) -> None:
        operator = self._operator
        operator.pause([pid for node in operator.every for pid in operator.tree(node)], PAUSE_S)

    def _restart_in_turn(self) -> None:
        """As an upgrade is made: the next one once the last one is ready."""
        for node in self._operator.every:
            before = self._operator.child(node, "node")
            self._operator.restart(node)
            deadline = time.monotonic() + READY_WAIT_S
            while self._operator.wait_state(node, "ready").get("pid") == before:
                if time.monotonic() > deadline:
                    raise NotAsExpected(f"node-{node + 1} was not started again")
                time.sleep(0.05)
