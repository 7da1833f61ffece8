"""A forked process refuses the node that it inherited, and the parent's goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusterlite import ConfigError, Node
from clusterlite.errors import NotServing
from tests.nodes import User, names, user

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

Use = Callable[[Node], object]

USES: dict[str, tuple[Use, str]] = {
    "create": (lambda node: node.create(user("ben")), "NotServing"),
    "get": (lambda node: node.get(User, "ann"), "NotServing"),
    "list": (lambda node: node.list(User), "NotServing"),
    "sync": (lambda node: node.sync(), "NotServing"),
    "outcome": (lambda node: node.outcome("e"), "NotServing"),
    "status": (lambda node: node.status(), "NotServing"),
    "position": (lambda node: node.position, "NotServing"),
    "close": (lambda node: node.close(), "nothing"),
    "open another": (lambda node: Node(node.data / "b", "memory:").open(), "ConfigError"),
}


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[str]:
    """What `work` raised in a fork of this process, which lives until the block ends."""
    reading, writing = os.pipe()
    released, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            said = "nothing"
        except BaseException as error:  # noqa: BLE001 - all of it is told to the parent
            said = f"{type(error).__name__}: {error}"
        os.close(release)
        os.write(writing, said.encode())
        os.close(writing)
        os.read(released, 1)
        os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            yield told.read()
    finally:
        os.close(release)
        os.close(released)
        os.waitpid(pid, 0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "a", entities=[User]) as node:
        node.create(user("ann", "ann"))
        yield node


@pytest.mark.parametrize(("use", "error"), USES.values(), ids=USES)
def test_a_fork_refuses_its_parents_node_and_any_other(node: Node, use: Use, error: str) -> None:
    names(node)  # so that this thread has a reader, which the fork inherits
    with forked(lambda: use(node)) as said:
        pass
    assert said.partition(":")[0] == error
    assert ("forked while a node was open" in said) is (error != "nothing")
    assert ("'spawn'" in said) is (error != "nothing")


def test_the_parent_goes_on_beside_a_fork_that_lives(node: Node) -> None:
    with forked(node.close) as said:
        assert said == "nothing"
        node.create(user("ben"))
        assert names(node) == ["ben", "ann"]
        node.close()
        with Node(node.data, entities=[User]) as again:
            assert names(again) == ["ben", "ann"]


def test_a_process_forked_before_any_node_was_open_opens_its_own(tmp_path: Path) -> None:
    def work() -> None:
        with Node(tmp_path / "a", "memory:", [User]) as node:
            raise LookupError(node.create(user("ann")).name)

    with forked(work) as said:
        assert said == "LookupError: ann"


def test_a_node_that_was_closed_before_the_fork_is_in_nobodys_way(node: Node) -> None:
    node.close()

    def work() -> None:
        with Node(node.data, entities=[User]) as again:
            raise LookupError(*names(again))

    with forked(work) as said:
        assert said == "LookupError: ann"


def test_a_node_that_did_not_open_is_in_nobodys_way(node: Node, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="opened once"):
        node.open()
    node.close()
    with pytest.raises(NotServing, match="is closed"):
        node.sync()
    with forked(lambda: Node(tmp_path / "b", "memory:").open()) as said:
        assert said == "nothing"
