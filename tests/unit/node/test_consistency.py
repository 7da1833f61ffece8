"""How new a read is at each level, on nodes and logs that do what a test tells them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from clusterlite import Behind, Bounded, InputError, LogUnavailable, Node
from clusterlite.errors import ForeignToken, TokenAhead
from clusterlite.log.base import Batch
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.node import consistency
from clusterlite.node.consistency import Freshness
from tests.nodes import HeldLog, User, names, user
from tests.processes import WAIT_S, wait_until


class SlowLog(HeldLog):
    """A log that also lets nothing be read while `paused` is set, and counts its questions."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.paused = threading.Event()
        self.asked = 0

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        if self.paused.is_set():
            return Batch([], position)
        return super().read(position, max_records, timeout_s)

    def tail(self) -> Future[int]:
        self.asked += 1
        return super().tail()

    def answer(self) -> None:
        """Answer the questions that wait, by the end that the log has now."""
        tails, self.tails = self.tails, []
        for future in tails:
            future.set_result(self.bounds().end - 1)


class Clock:
    """In the place of `clock_s`: stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr(consistency, "clock_s", lambda: self.now_s)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def other(tmp_path: Path, store: MemoryStore) -> Iterator[Node]:
    """A node that is never slow, on the same log."""
    with Node(tmp_path / "other", MemoryLog(store), [User]) as opened:
        yield opened


@pytest.fixture
def log(store: MemoryStore) -> SlowLog:
    return SlowLog(store)


@pytest.fixture
def node(tmp_path: Path, log: SlowLog, other: Node) -> Iterator[Node]:
    """A node whose log and follower can be held up."""
    with Node(tmp_path / "slow", log, [User]) as opened:
        other.sync()
        log.asked = 0
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def resume(log: SlowLog) -> None:
    """Read on; what was written meanwhile rang already."""
    log.paused.clear()


# Strong.


def test_a_strong_read_sees_every_write_acknowledged_before_it_at_another_node(
    node: Node, other: Node, log: SlowLog
) -> None:
    log.paused.set()
    ann = other.create(user("ann"))
    assert node.get(User, ann.id) is None
    assert node.get(User, ann.id, consistency="eventual") is None
    with ThreadPoolExecutor(3) as threads:
        reads = [
            threads.submit(node.get, User, ann.id, consistency="strong"),
            threads.submit(node.list, User, consistency="strong"),
        ]
        assert not wait(reads, 0.3).done, "it was answered from an older state"
        resume(log)
        assert reads[0].result(WAIT_S) == ann
        assert reads[1].result(WAIT_S) == [ann]


def test_strong_reads_of_a_busy_pair_of_nodes_miss_nothing(node: Node, other: Node) -> None:
    for number in range(50):
        writer, reader = (node, other) if number % 2 else (other, node)
        made = writer.create(user(f"u{number}"))
        assert reader.get(User, made.id, consistency="strong") == made


def test_a_barrier_under_way_does_not_serve_a_read_that_came_after_it_was_begun(
    node: Node, other: Node, log: SlowLog
) -> None:
    log.holding.set()
    with ThreadPoolExecutor(2) as threads:
        early = threads.submit(node.get, User, "ann", consistency="strong")
        wait_until(lambda: len(log.tails) == 1)
        end = log.bounds().end - 1
        log.paused.set()
        ann = other.create(user("ann", "ann"))
        late = threads.submit(node.get, User, "ann", consistency="strong")
        wait_until(lambda: len(node._runtime.engine._tails) == 2)
        (begun,) = log.tails
        log.tails = []
        begun.set_result(end)  # asked before the write, so it may tell the older end
        assert early.result(WAIT_S) is None
        wait_until(lambda: len(log.tails) == 1)
        assert not late.done()
        log.answer()
        resume(log)
        assert late.result(WAIT_S) == ann


def test_many_strong_reads_at_once_share_two_questions_of_the_log(node: Node, log: SlowLog) -> None:
    log.holding.set()
    engine = node._runtime.engine
    with ThreadPoolExecutor(40) as threads:
        first = threads.submit(node.get, User, "x", consistency="strong")
        wait_until(lambda: len(log.tails) == 1)
        rest = [threads.submit(node.get, User, "x", consistency="strong") for _ in range(39)]
        wait_until(lambda: len(engine._tails) == 40)
        log.holding.clear()
        log.answer()
        assert first.result(WAIT_S) is None
        assert [read.result(WAIT_S) for read in rest] == [None] * 39
    assert log.asked == 2


@pytest.mark.parametrize("level", ["strong", Bounded(5)])
def test_a_log_that_hangs_gives_an_error_and_no_older_state(
    node: Node, log: SlowLog, level: consistency.Consistency
) -> None:
    node.create(user("ann", "ann"))
    node.wait_s = 0.05
    log.holding.set()
    with pytest.raises(Behind):
        node.get(User, "ann", consistency=level)
    with pytest.raises(Behind):
        node.list(User, consistency=level)
    assert names(node) == ["ann"], "an eventual read needs no log"


def test_a_log_that_cannot_be_asked_gives_an_error_and_no_older_state(
    node: Node, log: SlowLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Future[int]:
        future: Future[int] = Future()
        future.set_exception(LogUnavailable("no leader"))
        return future

    monkeypatch.setattr(log, "tail", refuse)
    with pytest.raises(LogUnavailable, match="no leader"):
        node.get(User, "x", consistency="strong")
    assert node.get(User, "x") is None


# Session.


def test_a_read_with_a_token_is_at_least_that_new(node: Node, other: Node, log: SlowLog) -> None:
    log.paused.set()
    ann = other.create(user("ann"))
    with ThreadPoolExecutor(1) as threads:
        read = threads.submit(node.get, User, ann.id, token=other.token)
        assert not wait([read], 0.1).done
        resume(log)
        assert read.result(WAIT_S) == ann
    asked = log.asked
    assert node.list(User, token=other.token, consistency="session") == [ann]
    assert log.asked == asked, "a node that is up to date asks nobody"


def test_an_eventual_read_does_not_look_at_its_token(node: Node, log: SlowLog) -> None:
    for token in ("nonsense", "other:1", f"{node.cluster}:999"):
        assert node.get(User, "x", consistency="eventual", token=token) is None
    assert log.asked == 0


@pytest.mark.parametrize("level", [None, "session", "strong", Bounded(60)])
def test_a_token_counts_beside_every_other_level(
    node: Node, level: consistency.Consistency | None
) -> None:
    node.sync()
    with pytest.raises(ForeignToken):
        node.get(User, "x", consistency=level, token="other:1")
    with pytest.raises(InputError, match="/token"):
        node.get(User, "x", consistency=level, token="nonsense")
    ahead = f"{node.cluster}:{node.position + 1_000}"
    with pytest.raises(TokenAhead):
        node.outcome("x", consistency=level, token=ahead)


def test_a_token_is_waited_for_while_the_log_cannot_tell_its_end(
    node: Node, other: Node, log: SlowLog
) -> None:
    log.paused.set()
    log.holding.set()
    ann = other.create(user("ann"))
    with ThreadPoolExecutor(1) as threads:
        read = threads.submit(node.get, User, ann.id, token=other.token)
        wait_until(lambda: len(log.tails) == 1)
        resume(log)
        assert read.result(WAIT_S) == ann


def test_a_token_that_is_not_reached_in_time_gives_an_error(
    node: Node, other: Node, log: SlowLog
) -> None:
    log.paused.set()
    other.create(user("ann"))
    node.wait_s = 0.05
    with pytest.raises(Behind):
        node.get(User, "ann", token=other.token)


# Bounded.


def test_a_bounded_read_asks_the_log_once_in_its_seconds(
    node: Node, log: SlowLog, clock: Clock
) -> None:
    node.list(User, consistency=Bounded(10))
    assert log.asked == 1
    clock.now_s += 5
    for _ in range(20):
        node.get(User, "x", consistency=Bounded(10))
    assert log.asked == 1
    clock.now_s += 5.01
    node.get(User, "x", consistency=Bounded(10))
    assert log.asked == 2


def test_a_bounded_read_past_half_its_seconds_asks_ahead_and_waits_for_nothing(
    node: Node, log: SlowLog, clock: Clock
) -> None:
    node.sync()
    log.holding.set()
    clock.now_s += 6
    for _ in range(5):
        assert node.get(User, "x", consistency=Bounded(10)) is None
    wait_until(lambda: len(log.tails) == 1)
    assert log.asked == 2
    clock.now_s += 3
    log.answer()
    freshness = node._levels._freshness
    wait_until(lambda: freshness.position(Bounded(5), clock.now_s) is not None)
    assert freshness.position(Bounded(2), clock.now_s) is None, "it counts from the question"


def test_a_bounded_read_sees_what_was_acknowledged_before_its_bound(
    node: Node, other: Node, log: SlowLog, clock: Clock
) -> None:
    node.sync()
    log.paused.set()
    ann = other.create(user("ann"))
    clock.now_s += 4
    assert node.get(User, ann.id, consistency=Bounded(9)) is None, "it may be that old"
    with ThreadPoolExecutor(1) as threads:
        read = threads.submit(node.get, User, ann.id, consistency=Bounded(3))
        assert not wait([read], 0.1).done, "it was answered from an older state"
        resume(log)
        assert read.result(WAIT_S) == ann


def test_a_bound_of_no_seconds_is_a_strong_read(node: Node, other: Node, clock: Clock) -> None:
    for number in range(5):
        clock.now_s += 0.001
        made = other.create(user(f"u{number}"))
        assert node.get(User, made.id, consistency=Bounded(0)) == made


def test_a_log_that_hangs_makes_a_bounded_read_fail_once_its_seconds_are_over(
    node: Node, log: SlowLog, clock: Clock
) -> None:
    node.sync()
    node.wait_s = 0.05
    log.holding.set()
    clock.now_s += 10
    assert node.get(User, "x", consistency=Bounded(10)) is None
    clock.now_s += 0.01
    with pytest.raises(Behind):
        node.get(User, "x", consistency=Bounded(10))


def test_what_is_known_of_another_replica_is_forgotten() -> None:
    freshness = Freshness()
    freshness.reached(10.0, 7)
    freshness.reached(9.0, 8)
    assert freshness.position(Bounded(1), 11.0) == 7, "the newest question counts"
    freshness.forget()
    assert freshness.position(Bounded(86_400), 11.0) is None


# What is no level.


def test_what_is_no_level_is_refused_with_those_that_are(node: Node) -> None:
    with pytest.raises(InputError, match="eventual, session, bounded:<seconds>, strong"):
        node.get(User, "x", consistency="linearizable")  # type: ignore[arg-type]
    for seconds in (-1, float("nan"), float("inf"), 86_401):
        with pytest.raises(ValueError, match="from 0 to 86400"):
            Bounded(seconds)
