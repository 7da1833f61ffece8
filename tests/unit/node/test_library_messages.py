"""What a program that embeds a node is told: each message says what, where and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterlite import InputError, Node, Rejected
from clusterlite.errors import FolderInUse, NotServing
from clusterlite.replica.folder import DataFolder
from tests.nodes import Order, User, user
from tests.unit.node.conftest import NewNode

NOT_OPEN = "the node is not open: use `with Node(…) as node:`, or call open()"
CLOSED = "the node is closed: make a new one on the same folder"

Use = Callable[[Node], object]

USES: dict[str, Use] = {
    "create": lambda node: node.create(user("ann")),
    "get": lambda node: node.get(User, "ann"),
    "list": lambda node: node.list(User),
    "sync": lambda node: node.sync(),
    "outcome": lambda node: node.outcome("e"),
    "settle": lambda node: node.settle("e"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_node_that_was_not_opened_says_how_to_open_it(tmp_path: Path, use: Use) -> None:
    with pytest.raises(NotServing) as refused:
        use(Node(tmp_path / "a", "memory:", [User]))
    assert str(refused.value) == NOT_OPEN


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_node_that_was_closed_says_so(tmp_path: Path, use: Use) -> None:
    with Node(tmp_path / "a", "memory:", [User]) as node:
        node.list(User)
    with pytest.raises(NotServing) as refused:
        use(node)
    assert str(refused.value) == CLOSED


@pytest.mark.parametrize("verb", ["update", "put", "delete"])
def test_a_row_without_an_id_is_named_with_what_makes_one(node: Node, verb: str) -> None:
    before = node.sync()
    with pytest.raises(InputError) as refused:
        getattr(node, verb)(user("ann"))
    assert (
        str(refused.value) == f"/id: this User has none; {verb} needs a row's id, create makes one"
    )
    assert node.sync() == before


NO_ROW = "no row with this id is there"
REFUSALS: dict[str, tuple[Use, str]] = {
    "update of nothing": (lambda node: node.update(user("x", "x")), f"update of users/x: {NO_ROW}"),
    "update of nothing at a version": (
        lambda node: node.update(user("x", "x"), if_version=3),
        f"update of users/x: {NO_ROW}",
    ),
    "delete of nothing": (lambda node: node.delete(user("x", "x")), f"delete of users/x: {NO_ROW}"),
    "create of what is there": (
        lambda node: node.create(user("x", "ann")),
        "create of users/ann: a row with this id is there already",
    ),
    "another version": (
        lambda node: node.update(user("x", "ann"), if_version=0),
        "update of users/ann: the row is not as the precondition asks; its version is {version}",
    ),
    "a value that is taken": (
        lambda node: node.put(user("ann", "x")),
        "put of users/x: another row has the same value in a unique field, field email",
    ),
    "a reference to nothing": (
        lambda node: node.create(Order(id="o", user="nobody")),
        (
            "create of orders/o: the reference points to no row, or a row is still referred to, "
            "field user"
        ),
    ),
}


@pytest.mark.parametrize(("write", "text"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_write_names_the_row_and_the_reason(node: Node, write: Use, text: str) -> None:
    ann = node.create(user("ann", "ann"))
    with pytest.raises(Rejected) as refused:
        write(node)
    error = refused.value
    place = f" (event {error.event_id} at {node.position})"
    assert str(error) == text.format(version=ann.version) + place


def test_a_folder_in_use_is_told_in_words_that_hold_for_a_program(
    new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFolder.lock, "__defaults__", (0.01,))  # no need to wait for it
    node = new_node()
    with pytest.raises(FolderInUse) as refused:
        new_node()
    assert str(refused.value) == (
        f"the data folder {node.data} belongs to a running node (process {os.getpid()}): a folder "
        "is one node's. Stop that one, or give this node a folder of its own; both may follow one "
        "log"
    )
