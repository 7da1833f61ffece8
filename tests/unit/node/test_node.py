"""The embedded library: rows go in and come out, and each refusal has its own error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clusterlite import (
    ConfigError,
    ConstraintFailed,
    Entity,
    Exists,
    InputError,
    Node,
    NotFound,
    PreconditionFailed,
    Rejected,
)
from clusterlite.errors import RecordTooLarge
from tests.nodes import Order, User, user

# Writing and reading.


def test_a_created_row_has_an_id_and_the_position_as_its_version(node: Node) -> None:
    ann = node.create(user("ann"))
    assert ann.id
    assert ann.version == node.position
    assert node.get(User, ann.id) == ann
    assert node.get(User, "nobody") is None


def test_the_id_may_be_chosen(node: Node) -> None:
    assert node.create(user("ann", "key-1")).id == "key-1"
    found = node.get(User, "key-1")
    assert found is not None
    assert found.name == "ann"


def test_rows_are_listed_by_key_page_by_page(node: Node) -> None:
    for key in ("b", "é", "B", "a", "aa"):
        node.create(user(key, key))
    assert [row.id for row in node.list(User)] == ["B", "a", "aa", "b", "é"]
    assert [row.id for row in node.list(User, limit=2)] == ["B", "a"]
    assert [row.id for row in node.list(User, limit=2, after="a")] == ["aa", "b"]
    assert node.list(User, after="é") == []


def test_put_creates_and_replaces(node: Node) -> None:
    first = node.put(user("ann", "k"))
    second = node.put(user("ben", "k"))
    assert second.version > first.version
    assert node.list(User) == [second]
    assert node.list(User)[0].version == second.version


def test_update_replaces_a_row_that_is_there_at_its_version(node: Node) -> None:
    ann = node.create(user("ann"))
    ben = node.update(user("ben", ann.id), if_version=ann.version)
    assert node.get(User, ann.id) == ben
    assert node.update(user("cleo", ann.id)).version > ben.version


def test_delete_removes_the_row(node: Node) -> None:
    ann = node.create(user("ann"))
    node.delete(ann, if_version=ann.version)
    assert node.get(User, ann.id) is None
    assert node.list(User) == []


def test_a_row_knows_its_version_after_a_read(node: Node) -> None:
    ann = node.create(user("ann"))
    found = node.get(User, ann.id)
    assert found is not None
    assert found.version == node.list(User)[0].version == ann.version


# Refusals.

Write = Callable[[Node, User], object]

REFUSALS: dict[str, tuple[Write, type[Rejected], str]] = {
    "create of a key that is there": (
        lambda node, ann: node.create(user("x", ann.id)),
        Exists,
        "exists",
    ),
    "create with a unique value that is taken": (
        lambda node, ann: node.create(user(ann.name)),
        ConstraintFailed,
        "unique",
    ),
    "reference to no row": (
        lambda node, ann: node.create(Order(user="x")),
        ConstraintFailed,
        "foreign_key",
    ),
    "delete of a row that is referred to": (
        lambda node, ann: (node.create(Order(id="o", user=ann.id)), node.delete(ann)),
        ConstraintFailed,
        "foreign_key",
    ),
    "update of nothing": (
        lambda node, ann: node.update(user("x", "x")),
        NotFound,
        "precondition_failed",
    ),
    "update of nothing at a version": (
        lambda node, ann: node.update(user("x", "x"), if_version=3),
        NotFound,
        "precondition_failed",
    ),
    "delete of nothing": (
        lambda node, ann: node.delete(user("x", "x")),
        NotFound,
        "not_found",
    ),
    "update of another version": (
        lambda node, ann: node.update(ann, if_version=0),
        PreconditionFailed,
        "precondition_failed",
    ),
    "delete of another version": (
        lambda node, ann: node.delete(ann, if_version=0),
        PreconditionFailed,
        "precondition_failed",
    ),
}


@pytest.mark.parametrize(("write", "error", "code"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_write_raises_its_own_error_and_has_no_effect(
    node: Node, write: Write, error: type[Rejected], code: str
) -> None:
    ann = node.create(user("ann"))
    with pytest.raises(Rejected) as refused:
        write(node, ann)
    assert type(refused.value) is error
    assert refused.value.rejection == code
    assert refused.value.position == node.position
    assert node.list(User) == [ann]


def test_a_failed_precondition_tells_the_version_that_is_there(node: Node) -> None:
    ann = node.create(user("ann"))
    with pytest.raises(PreconditionFailed) as failed:
        node.update(ann, if_version=0)
    assert failed.value.version == ann.version


def test_a_constraint_names_its_field(node: Node) -> None:
    node.create(user("ann"))
    with pytest.raises(ConstraintFailed) as failed:
        node.create(user("ann"))
    assert failed.value.field == "email"


@pytest.mark.parametrize("key", ["_x", "-x", "a\nb", "x" * 256])
def test_an_unacceptable_key_is_refused_before_the_log(node: Node, key: str) -> None:
    before = node.sync()
    for write in (node.create, node.put, node.update, node.delete):
        with pytest.raises(InputError):
            write(user("ann", key))
    with pytest.raises(InputError):
        node.delete(user("ann"))  # without any key
    assert node.sync() == before


def test_a_record_over_the_logs_limit_is_refused_and_has_no_effect(node: Node) -> None:
    before = node.sync()
    with pytest.raises(RecordTooLarge):
        node.create(User(name="x" * 1_000_000, email="x"))
    assert node.sync() == before
    node.create(user("ann"))


def test_an_entity_that_the_node_does_not_serve_is_refused(node: Node) -> None:
    class Other(Entity, table="others"):
        name: str

    for use in (lambda: node.create(Other(name="x")), lambda: node.list(Other)):
        with pytest.raises(ConfigError, match="Other is not among the node's entities"):
            use()
