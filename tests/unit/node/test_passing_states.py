"""What passes by itself is told as a halt is, loses nothing, and is over with its cause (I12)."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from clusterlite.core import codec
from clusterlite.errors import LogUnavailable
from clusterlite.log import file
from clusterlite.log.file import FileLog
from clusterlite.node import checkpoints, guard, runtime
from clusterlite.node.follower import Follower
from tests.cli import cli
from tests.halting import MARK
from tests.nodes import follows, stamp
from tests.processes import wait_until
from tests.spot import Spot, check_told, wait_state


@pytest.fixture
def spot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spot]:
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.02)
    spot = Spot(tmp_path, monkeypatch)
    yield spot
    spot.close()


def a_full_disk_of_the_replica(spot: Spot) -> Iterator[None]:
    spot.disk.ending = "replica-1.db-wal"
    with spot.disk.failing(apsw.FullError, "write"):
        spot.insert("ben")
        yield
    spot.written.append("ben")


def a_full_disk_of_the_log(spot: Spot) -> Iterator[None]:
    full = SimpleNamespace(f_blocks=1, f_bavail=0, f_frsize=1)
    with spot.patch.context() as patched:
        patched.setattr(os, "statvfs", lambda _: full)
        assert spot.create("refused") == 503
        yield


def a_strangers_lock(spot: Spot) -> Iterator[None]:
    spot.patch.setattr(file, "BUSY_TIMEOUT_MS", 10)
    with contextlib.closing(apsw.Connection(str(spot.log))) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        assert spot.create("refused") == 503
        yield
        stranger.execute("ROLLBACK")


def a_forged_checkpoint(spot: Spot) -> Iterator[None]:
    def lost(_: FileLog) -> None:
        raise LogUnavailable("it cannot be read twice")

    node = spot.served.node
    spot.append(*[b"{}"] * (MARK - node.position))
    follows(node, MARK)
    with spot.patch.context() as patched:
        patched.setattr(checkpoints, "RETRY_S", 0.1)
        patched.setattr(FileLog, "look", lost)
        forged = {"position": MARK, "hash": "ab" * 32, "node": "nobody", "incarnation": "none"}
        spot.append(codec.encode(stamp(node, "e-1"), "CHECKPOINT", "", forged))
        wait_until(lambda: "cannot be done now" in str(spot.status()["reason"]))
        yield


CASES = {
    "a full disk of the replica": ("strained", "strained", a_full_disk_of_the_replica),
    "a full disk of the log": ("log_unreachable", "log_unreachable", a_full_disk_of_the_log),
    "a stranger's lock on the log": ("log_unreachable", "log_unreachable", a_strangers_lock),
    "a forged checkpoint": ("checking", "checking", a_forged_checkpoint),
}


@pytest.mark.parametrize(("state", "reason", "case"), CASES.values(), ids=CASES)
def test_it_is_told_everywhere_and_over_by_itself(
    state: str,
    reason: str,
    case: Callable[[Spot], Iterator[None]],
    spot: Spot,
    caplog: pytest.LogCaptureFixture,
) -> None:
    phases = case(spot)
    with caplog.at_level(logging.INFO, "clusterlite"):
        next(phases)
        told = wait_state(spot, state)["reason"]
        assert told["reason"] == reason
        check_told(spot, told, caplog.messages)
        assert spot.ids() == ["ann"]
        next(phases, None)
        wait_state(spot, "ready")
    assert any("recovered" in message and state in message for message in caplog.messages)
    assert spot.create("after") == 201
    assert spot.ids() == sorted([*spot.written, "after"])
    assert spot.served.request("GET", "/-/health/ready").status == 200


def test_a_node_that_lags_is_not_ready_until_it_has_caught_up(spot: Spot) -> None:
    spot.patch.setattr(runtime, "LAG_MAX", 3)
    with spot.patch.context() as patched:
        patched.setattr(Follower, "step", lambda *_: None)
        for name in ("ben", "cleo", "dora", "emil"):
            spot.insert(name)
            spot.written.append(name)
        assert wait_state(spot, "lagging")["lag"] == 4
        ready = spot.served.request("GET", "/-/health/ready")
        assert (ready.status, ready.json["status"]) == (503, "lagging")
        assert cli("status", spot.url).code == 1
        assert spot.ids() == ["ann"]
        assert spot.served.node._runtime.engine.trouble is None
    wait_state(spot, "ready")
    assert spot.ids() == sorted(spot.written)
