"""Fixtures of the node's tests: everything runs on both embedded logs where it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clusterlite import Node
from clusterlite.log.base import Log
from clusterlite.log.file import FileLog
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.nodes import Order, User

NewLog = Callable[[], Log]
NewNode = Callable[..., Node]


@pytest.fixture(params=["memory", "file"])
def new_log(request: pytest.FixtureRequest, tmp_path: Path) -> NewLog:
    """Makes handles on one log."""
    if request.param == "file":
        return lambda: FileLog(tmp_path / "log")
    store = MemoryStore()
    return lambda: MemoryLog(store)


@pytest.fixture
def new_node(tmp_path: Path, new_log: NewLog) -> Iterator[NewNode]:
    """Opens nodes on that log, each over a folder of its own; closes them at the end."""
    with ExitStack() as opened:

        def make(name: str = "a", log: Log | None = None, **options: object) -> Node:
            entities = (User, Order)
            node = Node(tmp_path / name, log or new_log(), entities, node_id=name, **options)  # type: ignore[arg-type]
            return opened.enter_context(node)

        yield make


@pytest.fixture
def node(new_node: NewNode) -> Node:
    return new_node()
