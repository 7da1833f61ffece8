"""Fail-stop (I10): each cause has its own reason, nothing is acknowledged after, reads go on."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clusterlite import Halt, Node
from clusterlite.core import codec
from clusterlite.log.base import Record
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.node import guard
from tests.nodes import User, insert, names, put, stamp, user
from tests.processes import wait_until


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def node(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.02)
    monkeypatch.setattr(guard, "IDENTITY_EVERY_S", 0.02)
    with Node(tmp_path / "a", MemoryLog(store), [User]) as opened:
        yield opened


def append(store: MemoryStore, *records: bytes) -> None:
    log = MemoryLog(store)
    log.open()
    put(log, *records)
    log.close()


def newer_format(node: Node, store: MemoryStore) -> None:
    event = json.loads(insert(node, "e-new", "ben"))
    append(store, json.dumps({**event, "format": 2}).encode())


def newer_level(node: Node, store: MemoryStore) -> None:
    append(store, codec.encode(stamp(node, "level"), "SETTINGS", "", {"level": 2}))


def lost_records(_node: Node, store: MemoryStore) -> None:
    with store.lock:
        store.records.pop()


def trimmed_ahead(_node: Node, store: MemoryStore) -> None:
    with store.lock:
        store.first = store.end + 5
        store.records = [Record(store.first, store.last_ms, b"{}")]


def another_log(_node: Node, store: MemoryStore) -> None:
    store.log_id = str(uuid.uuid4())


def another_record(_node: Node, store: MemoryStore) -> None:
    with store.lock:
        store.records[-1] = store.records[-1]._replace(value=b"{}")


RUNNING: dict[str, tuple[Callable[[Node, MemoryStore], None], str]] = {
    "an event of a newer format": (newer_format, "too_new"),
    "a newer apply level": (newer_level, "too_new"),
    "a log that lost its newest record": (lost_records, "log_rewound"),
    "a log trimmed ahead of the replica": (trimmed_ahead, "log_gap"),
    "another log in its place": (another_log, "wrong_log"),
    "another record at the replica's position": (another_record, "wrong_log"),
}


@pytest.mark.parametrize(("break_log", "reason"), RUNNING.values(), ids=RUNNING)
def test_a_running_node_halts_and_goes_on_reading(
    node: Node, store: MemoryStore, break_log: Callable[[Node, MemoryStore], None], reason: str
) -> None:
    ann = node.create(user("ann"))
    position = node.position
    break_log(node, store)
    wait_until(lambda: node.status()["state"] == "halted", lambda: str(node.status()))
    assert node.status()["reason"]["reason"] == reason
    assert node.status()["reason"]["cure"]
    append(store, insert(node, "e-after", "dora"))
    for use in (lambda: node.create(user("ben")), lambda: node.delete(ann), node.sync):
        with pytest.raises(Halt) as halt:
            use()
        assert halt.value.reason == reason
    assert node.get(User, ann.id) == ann
    assert names(node) == ["ann"]
    assert node.position == position, "something was applied after the halt"


def test_what_stands_before_the_cause_is_applied_and_nothing_after_it(
    node: Node, store: MemoryStore
) -> None:
    new = json.loads(insert(node, "e-2", "ben"))
    append(
        store,
        insert(node, "e-1", "ann"),
        json.dumps({**new, "format": 2}).encode(),
        insert(node, "e-3", "cleo"),
    )
    wait_until(lambda: node.status()["state"] == "halted")
    assert names(node) == ["ann"]


@pytest.mark.parametrize(
    "change",
    [
        {"cluster": "another"},
        {"cluster": "another", "operation": "GENESIS"},
        {"cluster": None},
        {"format": None},
        {"format": 1, "operation": "FROM_THE_FUTURE"},
        {"format": "2"},
    ],
)
def test_nothing_that_another_producer_writes_halts_a_node(
    node: Node, store: MemoryStore, change: dict[str, object]
) -> None:
    event = {**json.loads(insert(node, "e-1", "ann")), "format": 99, **change}
    append(store, json.dumps(event).encode(), b"\xff", b"", b'"\\ud800"')
    node.create(user("cleo"))
    assert node.status()["state"] == "ready"
    assert "cleo" in names(node)


def test_a_halted_node_sleeps_while_others_write(tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'log'}"
    with Node(tmp_path / "a", url, [User]) as halted, Node(tmp_path / "b", url, [User]) as other:
        engine = halted._runtime.engine
        engine.loop.post(lambda: engine.halt(Halt("log_gap", "as if", "none")))
        wait_until(lambda: halted.status()["state"] == "halted")
        for number in range(20):
            other.create(user(f"u{number}"))
        ticks: list[float] = []
        engine.after_tick.append(lambda: ticks.append(time.monotonic()))
        wait_until(lambda: len(ticks) >= 4)
        assert ticks[3] - ticks[0] > 0.3, "it spins"


def test_the_first_halt_is_the_one_that_is_told(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails after it may follow from it: its reason, detail and cure would mislead."""
    engine = node._runtime.engine
    first, second = Halt("log_gap", "the first", "do this"), Halt("internal", "later", "do that")
    done = threading.Event()
    for step in (
        lambda: engine.halt(first),
        lambda: engine.halt(second),
        lambda: engine.fail(second),
        done.set,
    ):
        engine.loop.post(step)
    assert done.wait(10)
    told = {"reason": "log_gap", "detail": "the first", "cure": "do this"}
    assert node.status()["reason"] == told
    with pytest.raises(Halt, match=r"log_gap: the first\. do this"):
        node.create(user("ann"))
    assert sum("halted" in message for message in caplog.messages) == 1
