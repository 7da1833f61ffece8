"""How an embedded node opens and closes, and what it says of itself."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from clusterlite import (
    Node,
)
from clusterlite.errors import ConfigError, FolderInUse, NotServing
from clusterlite.replica.folder import DataFolder
from tests.nodes import User, names, user
from tests.unit.node.conftest import NewLog, NewNode


def test_rows_are_there_after_a_reopen(new_node: NewNode) -> None:
    node = new_node()
    ann = node.create(user("ann"))
    cluster, position = node.cluster, node.position
    node.close()
    again = new_node()
    assert again.list(User) == [ann]
    assert (again.cluster, again.position) == (cluster, position)
    assert again.create(user("ben")).version == position + 1


def test_a_node_that_is_not_open_refuses(new_node: NewNode) -> None:
    node = new_node()
    ann = node.create(user("ann"))
    node.close()
    node.close()
    for use in (lambda: node.create(user("ben")), lambda: node.get(User, ann.id), node.sync):
        with pytest.raises(NotServing):
            use()


def test_a_body_that_fails_closes_the_node(tmp_path: Path, new_log: NewLog) -> None:
    with pytest.raises(ZeroDivisionError), Node(tmp_path / "a", new_log(), [User]):
        raise ZeroDivisionError
    with Node(tmp_path / "a", new_log(), [User]) as again:
        assert again.status()["state"] == "ready"


def test_the_same_folder_opens_only_once(
    new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFolder.lock, "__defaults__", (0.01,))  # no need to wait for it
    node = new_node()
    with pytest.raises(FolderInUse, match="belongs to a running node"):
        new_node()
    node.create(user("ann"))
    node.close()
    assert names(new_node()) == ["ann"]


def test_the_status_says_where_the_node_is(node: Node) -> None:
    node.create(user("ann"))
    status = node.status()
    assert status["state"] == "ready"
    assert status["reason"] is None
    assert status["node"] == "a"
    assert status["cluster"] == node.cluster
    assert status["position"] == node.position
    assert status["log"]["end"] == node.position + 1
    assert status["lag"] == 0
    assert status["tables"] == ["orders", "users"]


def test_each_thread_may_read_and_write(node: Node) -> None:
    def work(number: int) -> None:
        for step in range(20):
            made = node.create(user(f"{number}/{step}"))
            assert node.get(User, made.id) == made

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(node.list(User)) == 80


def test_a_thread_that_ended_keeps_no_connection(tmp_path: Path) -> None:
    with Node(tmp_path / "a", "memory:", [User]) as node:
        for _ in range(20):
            thread = threading.Thread(target=lambda: node.list(User))
            thread.start()
            thread.join()
        gc.collect()
        assert len(node._tables.opened_readers) == 0


def test_before_it_is_opened_a_node_says_so_and_it_is_opened_once(tmp_path: Path) -> None:
    node = Node(tmp_path / "a", "memory:", [User])
    for ask in (lambda: node.position, lambda: node.cluster, node.status, node.sync):
        with pytest.raises(NotServing):
            ask()
    node.open()
    node.close()
    with pytest.raises(ConfigError, match="make a new one"):
        node.open()
