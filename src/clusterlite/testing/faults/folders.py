"""Faults of data folders: two nodes on one, and a node on the copy of another's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from clusterlite.testing.cluster.kafka import free_ports
from clusterlite.testing.cluster.nodes import ClusterNode
from clusterlite.testing.faults.operator import Kind, NotAsExpected, Operator, stop_tree

REFUSED_WAIT_S: Final = 60.0
_REFUSED: Final = frozenset({2, 3})
"""The exit codes of a node that refuses its folder; 2 where the one that has it answers."""


class Folders:
    """Faults of folders.

    Args:
        operator: acts on the nodes.
        folder: for the copies.
    """

    def __init__(self, operator: Operator, folder: Path) -> None:
        self._operator = operator
        self._folder = folder

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        return {
            "second node on one folder": Kind(self._second, every),
            "cloned data folder": Kind(self._clone, every),
            "data folder not writable": Kind(self._unwritable, every),
        }

    def _second(self, index: int) -> None:
        """It is refused by name, and the one that has the folder goes on."""
        node = self._operator.cluster.nodes[index]
        before = self._operator.status(index).get("pid")
        second = node.beside("second", self._folder, free_ports(1)[0])
        second.data = node.data
        self._see_refused(second, "belongs to a running node")
        if self._operator.status(index).get("pid") != before:
            raise NotAsExpected(f"{node.name} was disturbed by a second node on its folder")
        self._operator.seen["refused start, folder in use"] += 1

    def _clone(self, index: int) -> None:
        """A copy of a stopped node's folder is another node: it goes on where the copy was made."""
        node = self._operator.stop(index)
        clone = node.beside("clone", self._folder, free_ports(1)[0])
        shutil.rmtree(clone.data, ignore_errors=True)
        shutil.copytree(node.data, clone.data, ignore=_no_sockets)
        self._operator.let_start(index)
        clone.start()
        try:
            self._operator.wait_ready(clone)
        finally:
            stop_tree(clone)
            shutil.rmtree(clone.data, ignore_errors=True)
        self._operator.seen["clone of a folder followed the log"] += 1

    def _unwritable(self, index: int) -> None:
        """A file stands where the folder should be."""
        node = self._operator.cluster.nodes[index]
        lone = node.beside("unwritable", self._folder, free_ports(1)[0])
        lone.data.write_text("no folder")
        try:
            self._see_refused(lone, "cannot be used")
        finally:
            lone.data.unlink()
        self._operator.seen["refused start, no folder"] += 1

    def _see_refused(self, node: ClusterNode, says: str) -> None:
        node.start()
        assert node.process is not None
        try:
            code = node.process.wait(REFUSED_WAIT_S)
        except subprocess.TimeoutExpired:
            stop_tree(node)
            raise NotAsExpected(f"{node.name} was not refused") from None
        if code not in _REFUSED or says not in node.output.read_text():
            raise NotAsExpected(f"{node.name} ended with {code} and without {says!r}")


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    """What is no file and no folder: it cannot be copied."""
    return [
        name for name in names if (Path(folder) / name).is_socket() or name.startswith("aside-")
    ]
