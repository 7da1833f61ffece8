"""Who waits for an outcome: told once, told the truth, and never left waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterlite import Behind, Halt, LogUnavailable, Node, OutcomeUnknown
from clusterlite.core import codec
from clusterlite.core.outcome import APPLIED, NEVER, Applied
from clusterlite.errors import AppendUnknown, ClusterLiteError, NotServing, Overloaded
from clusterlite.log.base import Settled
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.node import engine, writes
from clusterlite.node.answers import Answer, Appended, Submission
from clusterlite.node.writes import APPEND_MAX
from tests.nodes import HeldLog, User, fate, insert, names, outcome, put, stamp, user
from tests.processes import wait_until

WAIT_S = 10.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def log(store: MemoryStore) -> HeldLog:
    return HeldLog(store)


@pytest.fixture
def node(tmp_path: Path, log: HeldLog) -> Iterator[Node]:
    with Node(tmp_path / "a", log, [User]) as opened:
        yield opened


def submit(
    node: Node, event_id: str, record: bytes, wait_s: float = WAIT_S, *, early: bool = False
) -> Future[Answer]:
    """Submit as the link does for a worker."""
    future: Future[Answer] = Future()
    deadline = time.monotonic() + wait_s
    node._runtime.submit(Submission(event_id, record, future.set_result, deadline, early))
    return future


def fence(node: Node, event_id: str) -> bytes:
    return codec.encode(stamp(node, event_id), "FENCE")


def told(future: Future[Answer]) -> Applied:
    answer = future.result(WAIT_S)
    assert isinstance(answer, Applied), answer
    return answer


# The wait runs out.


def test_a_wait_that_runs_out_is_unknown_and_the_event_is_applied_all_the_same(
    node: Node, log: HeldLog
) -> None:
    node.wait_s = 0.05
    log.holding.set()
    with pytest.raises(OutcomeUnknown) as unknown:
        node.create(user("ann", "k"))
    assert unknown.value.position is None
    assert fate(node, unknown.value.event_id).outcome is None
    log.release()
    wait_until(lambda: names(node) == ["ann"])
    assert outcome(node, unknown.value.event_id).verdict == APPLIED


def test_an_append_that_may_be_written_is_unknown_and_not_a_failure(
    node: Node, log: HeldLog
) -> None:
    node.wait_s = 0.05
    log.holding.set()
    future = submit(node, "e-1", insert(node, "e-1", "ann"), 0.05)
    log.wait_held(1)
    (_, append) = log.held.pop()
    append.set_exception(AppendUnknown("no acknowledgement came"))
    answer = future.result(WAIT_S)
    assert isinstance(answer, OutcomeUnknown)
    assert answer.event_id == "e-1"


def test_an_event_whose_append_failed_is_appended_again_when_it_is_sent_again(
    node: Node, log: HeldLog
) -> None:
    log.holding.set()
    record = insert(node, "e-1", "ann")
    first = submit(node, "e-1", record)
    log.wait_held(1)
    (_, append) = log.held.pop()
    append.set_exception(AppendUnknown("no acknowledgement came"))
    log.holding.clear()
    again = submit(node, "e-1", record)
    answers = [future.result(WAIT_S) for future in (first, again)]
    assert [answer.outcome.verdict for answer in answers if isinstance(answer, Applied)] == [
        APPLIED,
        APPLIED,
    ]
    assert names(node) == ["ann"]


def test_an_append_that_never_left_is_told_at_once(
    node: Node, log: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(values: Sequence[bytes]) -> list[Settled]:
        return [Settled(LogUnavailable("no leader")) for _ in values]

    monkeypatch.setattr(log, "append", refuse)
    future = submit(node, "e-1", insert(node, "e-1", "ann"))
    assert isinstance(future.result(WAIT_S), LogUnavailable)


def test_an_early_answer_comes_with_the_position_before_the_outcome(node: Node) -> None:
    answer = submit(node, "e-1", insert(node, "e-1", "ann"), early=True).result(WAIT_S)
    assert isinstance(answer, Appended)
    wait_until(lambda: fate(node, "e-1").outcome is not None)
    assert outcome(node, "e-1").position == answer.position


def test_a_report_that_comes_after_the_outcome_tells_nobody_again(node: Node, log: HeldLog) -> None:
    answers: list[Answer] = []
    log.holding.set()
    deadline = time.monotonic() + WAIT_S
    record = insert(node, "e-1", "ann")
    node._runtime.submit(Submission("e-1", record, answers.append, deadline, True))
    log.wait_held(1)
    ((value, report),) = log.held
    log.held.clear()
    log.release()
    (written,) = log.append([value])
    wait_until(lambda: bool(answers))
    report.set_result(written.result())
    told(submit(node, "e-2", insert(node, "e-2", "ben")))
    assert [type(answer) for answer in answers] == [Applied]


@pytest.mark.parametrize("joined", ["before it is handed over", "after"])
def test_one_who_joins_is_told_the_position_before_the_outcome_where_that_was_asked(
    node: Node, log: HeldLog, monkeypatch: pytest.MonkeyPatch, joined: str
) -> None:
    monkeypatch.setattr(writes, "HANDED_OVER_MAX", 1)
    log.holding.set()
    submit(node, "e-0", insert(node, "e-0", "zoe"))
    log.wait_held(1)
    ((_, blocking),) = log.held
    record = insert(node, "e-1", "ann")
    first = submit(node, "e-1", record)
    if joined == "after":
        monkeypatch.setattr(writes, "HANDED_OVER_MAX", 2)
        log.wait_held(2)
    early = submit(node, "e-1", record, early=True)
    in_turn = submit(node, "e-1", record, wait_s=0.0)  # answered after `early` was looked at
    assert in_turn.result(WAIT_S) is not None
    monkeypatch.setattr(writes, "HANDED_OVER_MAX", 2)
    log.wait_held(2)
    _, report = log.held[1]
    report.set_result(9_999)  # the log has it, and nobody has read it yet
    assert early.result(WAIT_S) == Appended(9_999)
    assert not first.done()
    assert not blocking.done()


# The same event twice.


def test_a_second_submission_joins_the_waiter_in_flight(node: Node, log: HeldLog) -> None:
    end = log.bounds().end
    log.holding.set()
    first = submit(node, "e-1", insert(node, "e-1", "ann"))
    log.wait_held(1)
    second = submit(node, "e-1", insert(node, "e-1", "ann"))
    other = submit(node, "e-2", insert(node, "e-2", "ben"))
    log.wait_held(2)
    log.release()
    assert told(second) == told(first)._replace(repeated=True)
    assert told(other).outcome.verdict == APPLIED
    assert log.bounds().end == end + 2, "the joined event was appended again"


def test_a_submission_after_the_outcome_is_told_the_same_outcome(node: Node) -> None:
    first = told(submit(node, "e-1", insert(node, "e-1", "ann")))
    node.update(user("ben", "ann"))
    again = told(submit(node, "e-1", insert(node, "e-1", "ann")))
    assert again.outcome == first.outcome
    assert names(node) == ["ben"]


def test_an_event_that_another_node_appended_too_has_one_effect(
    node: Node, log: HeldLog, store: MemoryStore
) -> None:
    log.holding.set()
    future = submit(node, "e-1", insert(node, "e-1", "ann"))
    log.wait_held(1)
    other = MemoryLog(store)
    other.open()
    position = put(other, insert(node, "e-1", "ann"))
    assert told(future).outcome.position == position
    log.release()
    node.sync()
    assert outcome(node, "e-1").position == position
    assert names(node) == ["ann"]
    other.close()


# Settling an unknown outcome.


def test_settling_closes_an_id_that_the_log_does_not_have(node: Node) -> None:
    assert told(submit(node, "e-1", fence(node, "e-1"))).outcome.verdict == NEVER
    late = told(submit(node, "e-1", insert(node, "e-1", "ann")))
    assert late.outcome.verdict == NEVER
    assert names(node) == []


def test_settling_gives_the_outcome_of_an_event_that_the_log_has(node: Node) -> None:
    first = told(submit(node, "e-1", insert(node, "e-1", "ann")))
    settled = told(submit(node, "e-1", fence(node, "e-1")))
    assert settled.outcome == first.outcome
    assert names(node) == ["ann"]


def test_an_unknown_write_that_was_settled_as_never_has_no_effect_when_it_lands(
    node: Node, log: HeldLog, store: MemoryStore
) -> None:
    log.holding.set()
    unknown = submit(node, "e-1", insert(node, "e-1", "ann"), 0.05)
    log.wait_held(1)
    assert isinstance(unknown.result(WAIT_S), OutcomeUnknown)
    other = MemoryLog(store)
    other.open()
    put(other, fence(node, "e-1"))
    log.release()
    node.sync()
    assert outcome(node, "e-1").verdict == NEVER
    assert names(node) == []
    other.close()


def test_that_the_log_has_a_fence_is_not_told_as_the_position_of_the_event(
    node: Node, log: HeldLog
) -> None:
    log.holding.set()
    record = insert(node, "e-1", "ann")
    event = submit(node, "e-1", record, 0.5)
    log.wait_held(1)
    submit(node, "e-1", fence(node, "e-1"), 0.5)
    log.wait_held(2)
    (_, inserted), (_, fenced) = log.held
    inserted.set_exception(AppendUnknown("no acknowledgement came"))
    fenced.set_result(9_999)  # and nobody has read it yet
    early = submit(node, "e-1", record, 0.5, early=True)
    for future in (event, early):
        answer = future.result(WAIT_S)
        assert isinstance(answer, OutcomeUnknown)
        assert answer.position is None


# Closing while something waits.


def test_closing_tells_everybody_who_waits(node: Node, log: HeldLog) -> None:
    log.holding.set()
    handed_over = submit(node, "e-1", insert(node, "e-1", "ann"))
    log.wait_held(1)
    node.close()
    assert isinstance(handed_over.result(WAIT_S), OutcomeUnknown)
    assert isinstance(submit(node, "e-2", b"{}").result(WAIT_S), NotServing)


def test_closing_tells_strong_reads_under_way_and_those_behind_them(
    node: Node, log: HeldLog
) -> None:
    log.holding.set()
    under_way = node._runtime.ask_tail(WAIT_S)
    wait_until(lambda: len(log.tails) == 1)
    behind = node._runtime.ask_tail(WAIT_S)
    node.close()
    for future in (under_way, behind):
        assert isinstance(future.result(WAIT_S), LogUnavailable | NotServing)


def test_closing_under_load_leaves_nobody_waiting(node: Node) -> None:
    def work(number: int) -> int:
        done = 0
        try:
            while True:
                node.create(user(f"{number}/{done}"))
                node.sync()
                done += 1
        except ClusterLiteError:
            return done

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work, number) for number in range(4)]
        wait_until(lambda: node.position > 40)
        closing = threading.Thread(target=node.close)
        closing.start()
        assert all(future.result(WAIT_S) >= 0 for future in working)
        closing.join()


# What a refusal says is true (I2).


def test_what_was_said_not_to_have_happened_is_never_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_EXPIRE_EVERY_S", 0.0)  # after every batch

    class SlowLog(MemoryLog):
        """Each append of events takes as long as the test lets it."""

        def __init__(self, store: MemoryStore) -> None:
            super().__init__(store)
            self.slow = False
            self.entered = threading.Semaphore(0)
            self.go_on = threading.Semaphore(0)

        def append(self, values: Sequence[bytes]) -> list[Future[int]]:
            if self.slow:
                self.entered.release()
                assert self.go_on.acquire(timeout=WAIT_S)
            return super().append(values)

    log = SlowLog(MemoryStore())
    with Node(tmp_path / "a", log, [User]) as node:
        log.slow = True
        first = submit(node, "e-0", insert(node, "e-0", "first"))
        assert log.entered.acquire(timeout=WAIT_S)
        ids = [f"e-{number}" for number in range(1, 2 * APPEND_MAX + 1)]
        waits = {name: submit(node, name, insert(node, name, name), wait_s=0.0) for name in ids}
        for _ in range(4):
            log.go_on.release()
        log.slow = False
        assert isinstance(told(first), Applied)
        answers = {name: future.result(WAIT_S) for name, future in waits.items()}
        refused = {name for name, answer in answers.items() if isinstance(answer, LogUnavailable)}
        assert refused
        node.sync()
        assert not refused & set(names(node))


def test_a_settle_is_appended_while_the_event_itself_is_waited_for(
    node: Node, log: HeldLog
) -> None:
    log.holding.set()
    event = submit(node, "e-1", insert(node, "e-1", "ann"))
    log.wait_held(1)
    settle = submit(node, "e-1", fence(node, "e-1"))
    log.wait_held(2)
    log.release()
    assert told(settle).outcome == told(event).outcome
    assert told(event).outcome.verdict == APPLIED


def test_a_strong_read_ends_with_its_wait(node: Node, log: HeldLog) -> None:
    node.wait_s = 0.05
    log.holding.set()
    with pytest.raises(Behind):
        node.sync()
    with pytest.raises(Behind):
        node.sync()


def test_a_defect_halts_and_says_so(node: Node) -> None:
    def broken() -> None:
        raise RuntimeError("no such luck")

    node.create(user("ann"))
    node._runtime.engine.loop.post(broken)
    wait_until(lambda: node.status()["state"] == "halted")
    assert node.status()["reason"]["reason"] == "internal"
    with pytest.raises(Halt):
        node.create(user("ben"))
    assert names(node) == ["ann"]


def test_a_defect_of_the_log_at_its_end_halts_once_all_strong_reads_are_told(
    node: Node, log: HeldLog
) -> None:
    log.holding.set()
    under_way = node._runtime.ask_tail(WAIT_S)
    wait_until(lambda: len(log.tails) == 1)
    behind = [node._runtime.ask_tail(WAIT_S) for _ in range(2)]
    submit(node, "e-1", insert(node, "e-1", "ann"))
    log.wait_held(1)  # after them, so that they wait for the next question
    first, log.tails = log.tails[0], []
    first.set_result(node.position)
    under_way.result(WAIT_S)
    wait_until(lambda: len(log.tails) == 1)
    log.tails.pop().set_exception(RuntimeError("no such luck"))
    for future in behind:
        assert isinstance(future.result(WAIT_S), LogUnavailable)
    wait_until(lambda: node.status()["state"] == "halted")
    assert node.status()["reason"]["reason"] == "internal"


def test_an_unknown_outcome_is_settled_by_the_library(node: Node, log: HeldLog) -> None:
    node.wait_s = 0.05
    log.holding.set()
    with pytest.raises(OutcomeUnknown) as unknown:
        node.create(user("ann", "k"))
    event_id = unknown.value.event_id
    assert node.outcome(event_id) is None
    log.held.clear()  # lost on its way
    log.holding.clear()
    node.wait_s = WAIT_S
    assert node.settle(event_id).verdict == NEVER
    settled = node.outcome(event_id)
    assert settled is not None
    assert settled.verdict == NEVER
    assert node.settle(event_id) == settled


# The same id again, while its first record may be in the log.


def in_doubt(node: Node, log: HeldLog) -> tuple[Future[Answer], bytes]:
    """An event whose append gave `AppendUnknown`, and its record, which may land yet."""
    log.holding.set()
    first = submit(node, "e-1", insert(node, "e-1", "ann"))
    log.wait_held(1)
    ((value, append),) = log.held
    log.held.clear()
    append.set_exception(AppendUnknown("no acknowledgement came"))
    return first, value


def refuse_appends(log: HeldLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(values: Sequence[bytes]) -> list[Settled]:
        return [Settled(LogUnavailable("no leader")) for _ in values]

    monkeypatch.setattr(log, "append", refuse)


@pytest.mark.parametrize("again", ["event", "fence"])
def test_a_repetition_that_the_log_refuses_is_unknown_while_the_first_may_be_written(
    node: Node, log: HeldLog, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    first, value = in_doubt(node, log)
    refuse_appends(log, monkeypatch)
    retry = submit(node, "e-1", fence(node, "e-1") if again == "fence" else value)
    assert isinstance(retry.result(WAIT_S), OutcomeUnknown)
    other = MemoryLog(store)
    other.open()
    put(other, value)
    other.close()
    assert told(first).outcome.verdict == APPLIED
    assert names(node) == ["ann"]


def test_a_repetition_that_is_not_taken_is_unknown_while_the_first_may_be_written(
    node: Node, log: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, value = in_doubt(node, log)
    monkeypatch.setattr(writes, "WAITING_MAX", 1)
    assert isinstance(submit(node, "e-1", value).result(WAIT_S), OutcomeUnknown)
    assert isinstance(submit(node, "e-2", value).result(WAIT_S), Overloaded)
    node.close()
    assert isinstance(first.result(WAIT_S), OutcomeUnknown)


def test_a_repetition_that_waits_for_its_turn_when_the_node_halts_is_unknown(
    node: Node, log: HeldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, value = in_doubt(node, log)
    monkeypatch.setattr(writes, "HANDED_OVER_MAX", 1)
    retry = submit(node, "e-1", value)
    other = submit(node, "e-2", insert(node, "e-2", "ben"))
    halt = Halt("internal", "broken", "Mend it")
    node._runtime.engine.loop.post(lambda: node._runtime.engine.halt(halt))
    assert other.result(WAIT_S) is halt
    assert {type(future.result(WAIT_S)) for future in (first, retry)} == {OutcomeUnknown}
