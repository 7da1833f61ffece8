"""What a node says while its log does not answer: one name for one state, and what to do (I12)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from clusterlite import Halt, Node
from clusterlite.errors import LogUnavailable
from clusterlite.log.memory import MemoryLog
from clusterlite.node.answers import Answer, Submission
from tests.nodes import User, insert, user
from tests.processes import wait_until

DETAIL, CURE = "the log is away", "Wait for it"
AWAY = {"reason": "log_unreachable", "detail": DETAIL, "cure": CURE}


class AwayLog(MemoryLog):
    """Opens once it is let in, and not while it is away. Polled, as Kafka's is."""

    has_doorbell = False

    def __init__(self) -> None:
        super().__init__()
        self.let_in = threading.Event()
        self.away = True

    def open(self) -> None:
        self.let_in.wait()
        if self.away:
            raise LogUnavailable(DETAIL, CURE)
        super().open()

    def doorbell(self) -> int | None:
        return None


@pytest.fixture
def log() -> AwayLog:
    return AwayLog()


@pytest.fixture
def node(log: AwayLog, tmp_path: Path) -> Iterator[Node]:
    """A node that came up by itself, as far as its log lets it."""
    node = Node(tmp_path / "a", log, [User])
    node.open(wait=False)
    yield node
    log.let_in.set()
    node.close()


def wait_state(node: Node, state: str) -> None:
    wait_until(lambda: node.status()["state"] == state, lambda: str(node.status()))


def test_a_node_whose_log_does_not_open_yet_says_what_it_waits_for(node: Node) -> None:
    status = node.status()
    assert (status["state"], status["reason"]["reason"]) == ("opening", "opening")
    assert status["reason"]["detail"] == "the node waits for its log memory:"
    assert "--log" in status["reason"]["cure"]


def test_a_start_without_a_log_is_told_with_its_cure_and_goes_on_by_itself(
    node: Node, log: AwayLog
) -> None:
    log.let_in.set()
    wait_state(node, "log_unreachable")
    assert node.status()["reason"] == AWAY
    answer: Future[Answer] = Future()
    node._runtime.submit(Submission("e-1", b"{}", answer.set_result, 0.0))
    refused = answer.result(10)
    assert isinstance(refused, LogUnavailable)
    assert str(refused) == f"{DETAIL}. {CURE}"

    log.away = False
    wait_state(node, "ready")
    assert node.status()["reason"] is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_an_answer_halts_a_node_that_polls_its_log(node: Node, log: AwayLog) -> None:
    def fail(_answer: Answer) -> None:
        raise RuntimeError("a defect")

    log.away = False
    log.let_in.set()
    wait_state(node, "ready")
    deadline = time.monotonic() + 10
    node._runtime.submit(Submission("e-1", insert(node, "e-1", "ann"), fail, deadline))
    wait_state(node, "halted")
    assert node.status()["reason"]["reason"] == "internal"
    with pytest.raises(Halt, match="a defect"):
        node.create(user("ben"))
