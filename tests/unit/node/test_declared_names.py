"""A class whose names are the log's but for case: the field is refused, the table is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite import Entity, Node
from clusterlite.errors import ConfigError
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.nodes import put
from tests.support import foreign


class User(Entity, table="users"):
    name: str


class OtherField(Entity, table="users"):
    Name: str


class OtherTable(Entity, table="USERS"):
    name: str


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def node(tmp_path: Path, store: MemoryStore) -> Iterator[Node]:
    """A node that declares the users, and has one."""
    with Node(tmp_path / "a", MemoryLog(store), [User]) as node:
        node.create(User(id="ann", name="Ann"))
        yield node


def test_a_field_in_another_case_is_refused_at_the_start_with_the_cure(
    node: Node, store: MemoryStore, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        Node(tmp_path / "b", MemoryLog(store), [OtherField]).open()
    assert str(refused.value) == (
        "field Name of table users: the log declares it as name, and names that differ in case "
        "alone are one field; spell it name"
    )
    assert node.status()["log"]["end"] == node.position + 1, "it proposed something all the same"


def test_a_table_in_another_case_is_the_same(
    node: Node, store: MemoryStore, tmp_path: Path
) -> None:
    with Node(tmp_path / "b", MemoryLog(store), [OtherTable]) as other:
        ben = other.create(OtherTable(id="ben", name="Ben"))
        assert [row.name for row in other.list(OtherTable)] == ["Ann", "Ben"]
        node.sync()
        found = node.get(User, "ben")
        assert found is not None
        assert (found.name, found.version) == (ben.name, ben.version)


def test_keys_in_another_case_are_adopted_by_the_field(store: MemoryStore, tmp_path: Path) -> None:
    log = MemoryLog(store)
    log.open()
    put(log, foreign("INSERT", "Users", {"id": "ann", "NAME": "Ann"}))
    with Node(tmp_path / "a", log, [User]) as node:
        assert [row.name for row in node.list(User)] == ["Ann"]
