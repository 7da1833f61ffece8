"""Each test has a node of its own, with its log in memory: python -m pytest."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tasks import Task

from clusterlite import ConstraintFailed, Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with an empty table."""
    with Node(data=tmp_path, log="memory:", entities=[Task]) as node:
        yield node


def test_a_task_is_created_changed_and_deleted(node: Node) -> None:
    """A write has been applied when it returns, so the read that follows sees it."""
    task = node.create(Task(title="Write a test"))
    task.done = True
    node.update(task)
    assert [(found.title, found.done) for found in node.list(Task)] == [("Write a test", True)]
    node.delete(task)
    assert node.get(Task, task.id) is None


def test_no_two_tasks_have_the_same_title(node: Node) -> None:
    """The log judges it, so it holds over all nodes of a cluster too."""
    node.create(Task(title="Write a test"))
    with pytest.raises(ConstraintFailed, match="title"):
        node.create(Task(title="Write a test"))
