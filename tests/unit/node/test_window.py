"""The window in which event ids are remembered: set in the log, the same at every node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite import Node
from clusterlite.core import codec
from clusterlite.core.hashing import MARK_EVERY
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.nodes import User, fate, follows, insert, names, outcome, put, stamp, user

WINDOW = {"window_positions": 10, "window_s": 60}


class Window:
    """A node on a log whose time and whose positions a test moves on."""

    def __init__(self, node: Node, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.log = MemoryLog(store)
        self.log.open()
        self._append(codec.encode(stamp(node, "settings"), "SETTINGS", "", WINDOW))

    def _append(self, *records: bytes) -> None:
        follows(self.node, put(self.log, *records))

    def add(self, event_id: str, name: str, after: int | None = None) -> None:
        self._append(insert(self.node, event_id, name, after))

    def pass_positions(self) -> None:
        """Reach one mark more; barriers keep no outcome."""
        barrier = codec.encode(stamp(self.node, "b"), "BARRIER")
        self._append(*[barrier] * MARK_EVERY)

    def pass_time(self, seconds: int) -> None:
        self.store.last_ms += seconds * 1000


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    store = MemoryStore()
    with Node(tmp_path / "a", MemoryLog(store), [User]) as node:
        window = Window(node, store)
        yield window
        window.log.close()


def test_an_id_is_remembered_within_the_window(window: Window) -> None:
    window.add("e-1", "ann")
    first = outcome(window.node, "e-1")
    window.node.delete(user("ann", "ann"))
    window.pass_positions()
    window.pass_positions()
    window.add("e-1", "ann")
    assert outcome(window.node, "e-1") == first
    assert names(window.node) == []


def test_positions_alone_forget_nothing(window: Window) -> None:
    window.pass_positions()
    window.pass_time(59)
    window.pass_positions()
    assert fate(window.node, "x").floor == -1


def test_time_alone_forgets_nothing(window: Window) -> None:
    window.add("e-1", "ann")
    window.pass_time(3600)
    window.add("e-2", "ben")
    assert fate(window.node, "x").floor == -1


def test_beyond_the_window_an_old_record_is_expired_and_has_no_effect(window: Window) -> None:
    window.add("e-1", "ann")
    window.node.delete(user("ann", "ann"))
    before = window.node.position
    window.pass_positions()
    window.pass_time(61)
    window.pass_positions()
    assert fate(window.node, "x").floor == MARK_EVERY
    window.add("e-1", "ann", after=before)
    assert outcome(window.node, "e-1").code == "expired"
    window.add("never seen", "ann", after=MARK_EVERY - 1)
    assert outcome(window.node, "never seen").code == "expired"
    assert names(window.node) == []


def test_a_fresh_event_is_taken_beyond_the_window(window: Window) -> None:
    window.pass_positions()
    window.pass_time(61)
    window.pass_positions()
    window.add("e-2", "ben", after=MARK_EVERY)
    window.node.create(user("cleo"))
    assert sorted(names(window.node)) == ["ben", "cleo"]


def test_the_floor_is_the_same_at_a_node_that_comes_later(window: Window, tmp_path: Path) -> None:
    window.pass_positions()
    window.pass_time(61)
    window.pass_positions()
    window.add("e-1", "ann", after=3)
    with Node(tmp_path / "b", MemoryLog(window.store), [User]) as later:
        later.sync()
        assert fate(later, "e-1") == fate(window.node, "e-1")
        assert later.status()["hash"] == window.node.status()["hash"]
