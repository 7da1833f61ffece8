"""Several nodes in one process, on one log: one cluster, one order, equal states."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from clusterlite import (
    Entity,
    Node,
    PreconditionFailed,
)
from clusterlite.errors import SchemaRefused
from tests.nodes import User, names, user
from tests.unit.node.conftest import NewLog, NewNode


def test_two_nodes_on_one_log_see_each_others_writes(new_node: NewNode) -> None:
    first, second = new_node("a"), new_node("b")
    ann = first.create(user("ann"))
    assert second.sync() >= ann.version
    assert second.get(User, ann.id) == ann
    ben = second.update(user("ben", ann.id), if_version=ann.version)
    first.sync()
    assert first.list(User) == [ben]
    assert first.cluster == second.cluster
    first.sync()
    assert first.status()["hash"] == second.status()["hash"]


def test_only_one_of_two_writers_wins_a_version(new_node: NewNode) -> None:
    first, second = new_node("a"), new_node("b")
    ann = first.create(user("ann"))
    first.update(user("ben", ann.id), if_version=ann.version)
    with pytest.raises(PreconditionFailed):
        second.update(user("cleo", ann.id), if_version=ann.version)
    assert names(second) == ["ben"]


def test_nodes_that_start_at_once_agree_on_one_cluster(tmp_path: Path, new_log: NewLog) -> None:
    nodes = [Node(tmp_path / name, new_log(), [User], node_id=name) for name in "abc"]
    threads = [threading.Thread(target=node.open) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for node in nodes:
        node.create(user(node.node_id))
    found = []
    for node in nodes:
        node.sync()
        found.append((node.cluster, names(node), node.status()["hash"]))
    for node in nodes:
        node.close()
    assert found[0] == found[1] == found[2]
    assert len(found[0][1]) == 3


def test_an_entity_that_contradicts_the_log_is_refused(
    new_node: NewNode, tmp_path: Path, new_log: NewLog
) -> None:
    new_node("a")

    class Users(Entity, table="users"):
        name: int

    node = Node(tmp_path / "b", new_log(), [Users])
    with pytest.raises(SchemaRefused, match="type is 'text' in the log"):
        node.open()


def test_an_embedded_log_has_its_place_in_the_data_folder(tmp_path: Path) -> None:
    with Node(tmp_path / "a", entities=[User]) as node:
        node.create(user("ann"))
    assert (tmp_path / "a" / "log").exists()
