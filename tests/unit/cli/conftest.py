"""A running node with some rows, for commands that look into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite import Node
from tests.cli import ROWS
from tests.nodes import Order, User, user


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Not for tests that change what the log holds."""
    with Node(tmp_path_factory.mktemp("node") / "data", entities=[User, Order]) as node:
        for name in "abc"[:ROWS]:
            node.create(user(name, name))
        yield node


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The data folder of a node that has ended, with its log inside."""
    data = tmp_path / "data"
    with Node(data, entities=[User]) as node:
        for name in "ab":
            node.create(user(name, name))
    return data
