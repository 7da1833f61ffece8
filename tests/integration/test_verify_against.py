"""Two replicas compared: `clusterlite verify --against`, and the routes that it asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.cli import cli
from tests.http_node import http_node, make_node, user
from tests.processes import Serve, wait_until

ROWS = 30


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node with some rows, which the tests read."""
    with http_node(tmp_path_factory.mktemp("verify")) as serve:
        rows = [user(f"name {n}", id=f"u-{n:02}") for n in range(ROWS)]
        assert serve.request("POST", "/users", rows).status == 201
        yield serve


@pytest.fixture
def copy(node: Serve, tmp_path: Path) -> Path:
    """Of the node's replica, to change."""
    assert cli("copy", node.data, tmp_path / "replica-1.db", "--with-bookkeeping").code == 0
    return tmp_path / "replica-1.db"


def test_equal_replicas_are_said_to_be_equal(node: Serve, copy: Path) -> None:
    for side in (str(copy), node.url):
        done = cli("verify", side, "--against", node.url)
        assert done.code == 0, done
        assert f"users: {ROWS} compared, 0 differ\n" in done.out
        assert done.out.splitlines()[-1] == f"equal: {side} and {node.url} hold the same"
