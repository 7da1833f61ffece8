"""Records of creates, as a node's worker writes them, for logs that are filled beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clusterlite import Node
from clusterlite.core.event import Stamp
from clusterlite.core.operations import DeclaredOperations
from clusterlite.examples.users import User
from clusterlite.node.ids import timestamp, uuid7
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.reader import Reader


class Creates:
    """Makes records for a log, which a node founds first.

    Args:
        data: folder of that node.
        log: the log's URL.
    """

    def __init__(self, data: Path, log: str) -> None:
        with Node(data, log=log, entities=[User]) as node:
            self._cluster, self._position = node.cluster, node.position
        reader = Reader(DataFolder(data).replica)
        self._schema = reader.tables()["users"].position
        reader.close()
        self._operations = DeclaredOperations(User)

    def record(self, row: Mapping[str, Any], fp: str = "") -> bytes:
        """The record that inserts a row."""
        stamp = Stamp(uuid7(), timestamp(), self._cluster, "benchmark", self._position, fp=fp)
        return self._operations.create_event(stamp, row, self._schema)
