"""Equal replicas (I5): nodes propose checkpoints, and compare those of others. A bad replica, or
a forged checkpoint, stops no good one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
import pytest

from clusterlite import Halt, Node, NotServing
from clusterlite.core import codec
from clusterlite.core.checkpoint import Checkpoint, read_checkpoint
from clusterlite.errors import LogUnavailable
from clusterlite.log.base import Look
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.node import checkpoints
from clusterlite.replica.folder import DataFolder
from tests.cli import cli
from tests.nodes import User, follows, names, put, stamp, user
from tests.processes import wait_until

MARK = 1024


class Cluster:
    """Nodes on one log in memory, which are made to differ."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.log = MemoryLog(self.store)
        self.log.open()
        opened.callback(self.log.close)
        self._opened = opened

    def node(self, name: str, log: MemoryLog | None = None) -> Node:
        node = Node(self.folder / name, log or MemoryLog(self.store), [User], node_id=name)
        return self._opened.enter_context(node)

    def fill(self, mark: int) -> None:
        """Records of no meaning, up to and with a mark."""
        put(self.log, *[b"{}"] * (mark + 1 - self.store.end))

    def write(self, node: Node, operation: str, data: dict[str, Any], number: int) -> int:
        record = codec.encode(
            stamp(node, f"w-{number}"), operation, "users", data, schema=node.position
        )
        return put(self.log, record)

    def forge(self, node: Node, mark: int, spelled: str = "ab" * 32, number: int = 0) -> int:
        """A checkpoint of nobody."""
        data = {"position": mark, "hash": spelled, "node": "nobody", "incarnation": "none"}
        return put(self.log, codec.encode(stamp(node, f"f-{number}"), "CHECKPOINT", "", data))

    def proposed(self) -> list[dict[str, Any]]:
        """What nodes say in the log, in order."""
        events = (codec.decode(record.value, 0) for record in self.store.records)
        found = [event.data for event in events if event and event.operation == "CHECKPOINT"]
        return [data for data in found if data["node"] != "nobody"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as opened:
        yield Cluster(tmp_path, opened)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due as soon as there is something new."""
    monkeypatch.setattr("clusterlite.core.checkpoint.EVERY_S", 0.0)
    monkeypatch.setattr("clusterlite.core.checkpoint.RANK_S", 0.0)
    monkeypatch.setattr(checkpoints, "RETRY_S", 0.1)


def state(node: Node) -> str:
    return str(node.status()["state"])


def becomes(node: Node, wanted: str) -> None:
    wait_until(lambda: state(node) == wanted, lambda: str(node.status()))


def flip(node: Node, sql: str) -> None:
    """Change a replica behind the node's back."""
    with apsw.Connection(str(DataFolder(node.data).replica)) as connection:
        connection.set_busy_timeout(5_000)
        connection.execute(sql)
    connection.close()


def recorded(node: Node) -> list[str]:
    connection = apsw.Connection(str(DataFolder(node.data).replica))
    try:
        rows = connection.execute("SELECT verdict FROM _cl_checkpoint ORDER BY position")
        return [row[0] for row in rows]
    finally:
        connection.close()


def test_a_node_proposes_its_newest_mark_and_another_agrees(
    cluster: Cluster, hurried: None
) -> None:
    first, second = cluster.node("a"), cluster.node("b")
    first.create(user("ann"))
    cluster.fill(MARK)
    wait_until(lambda: first.status()["verified"] == MARK or second.status()["verified"] == MARK)
    assert {data["position"] for data in cluster.proposed()} == {MARK}
    assert len(cluster.proposed()) <= 2
    assert (state(first), state(second)) == ("ready", "ready")


def test_where_nobody_wrote_nothing_is_proposed(cluster: Cluster, hurried: None) -> None:
    node = cluster.node("a")
    cluster.fill(MARK)
    wait_until(lambda: len(cluster.proposed()) == 1)  # the declaration is new
    cluster.fill(3 * MARK)
    follows(node, 3 * MARK)
    ticks: list[None] = []
    node._runtime.engine.after_tick.append(lambda: ticks.append(None))
    wait_until(lambda: len(ticks) >= 3)
    assert len(cluster.proposed()) == 1
    node.create(user("ann"))
    cluster.fill(4 * MARK)
    wait_until(lambda: len(cluster.proposed()) == 2)


def test_a_flipped_row_halts_its_replica_and_no_other(cluster: Cluster, hurried: None) -> None:
    good, bad = cluster.node("a"), cluster.node("b")
    ann = good.create(user("ann"))
    follows(bad, ann.version)
    flip(bad, "DELETE FROM users")
    cluster.fill(MARK)
    follows(bad, MARK)
    deleted = cluster.write(good, "DELETE", {"id": ann.id}, 1)
    good.create(user("ben"))
    cluster.fill(2 * MARK)
    becomes(bad, "halted")
    reason = bad.status()["reason"]
    assert reason["reason"] == "diverged"
    assert f"first position known to differ is {deleted}, " in reason["detail"]
    assert f"up to position {MARK} it is right; what differs: event w-1" in reason["detail"]
    becomes(good, "ready")
    good.create(user("cleo"))
    with pytest.raises(Halt):
        bad.create(user("dora"))


def test_the_cure_makes_a_flipped_replica_equal_again(cluster: Cluster, hurried: None) -> None:
    good, bad = cluster.node("a"), cluster.node("b")
    ann = good.create(user("ann"))
    follows(bad, ann.version)
    flip(bad, "DELETE FROM users")
    cluster.write(good, "DELETE", {"id": ann.id}, 1)
    good.create(user("ben"))
    cluster.fill(MARK)
    becomes(bad, "halted")
    assert f"clusterlite repair {bad.data}" in bad.status()["reason"]["cure"]
    bad.close()
    again = Node(bad.data, MemoryLog(cluster.store), [User], node_id="b")
    with pytest.raises(Halt, match="diverged"):  # a start alone does not help
        again.open()
    assert cli("reset", "--data", bad.data, "--yes").code == 0
    healed = cluster.node("b")
    becomes(good, "ready")
    good.sync()
    healed.sync()
    follows(healed, good.position)
    follows(good, healed.position)
    assert names(healed) == ["ben"]
    wait_until(
        lambda: (
            (good.status()["position"], good.status()["hash"])
            == (healed.status()["position"], healed.status()["hash"])
        )
    )


def test_a_forged_checkpoint_stops_no_good_replica(cluster: Cluster) -> None:
    nodes = [cluster.node("a"), cluster.node("b")]
    nodes[0].create(user("ann"))
    cluster.fill(MARK)
    cluster.forge(nodes[0], MARK)
    for node in nodes:
        wait_until(lambda node=node: node.status()["refuted"] == 1)
        becomes(node, "ready")
    nodes[0].create(user("ben"))
    nodes[1].create(user("cleo"))
    wait_until(lambda: len(cluster.proposed()) >= 1)
    for node in nodes:
        wait_until(lambda node=node: "refuted" in recorded(node))
        assert not (node.data / "scratch.db").exists()


def test_what_was_derived_once_is_not_derived_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[int] = []
    derive = checkpoints.derive

    def counted(*args: Any) -> Any:
        derived.append(args[4])
        return derive(*args)

    monkeypatch.setattr(checkpoints, "derive", counted)
    node = cluster.node("a")
    node.create(user("ann"))
    cluster.fill(2 * MARK)
    cluster.forge(node, MARK, number=1)
    wait_until(lambda: node.status()["refuted"] == 1)
    for number in range(2, 200):
        cluster.forge(node, MARK, f"{number:064x}", number)
    cluster.forge(node, 2 * MARK, number=200)
    wait_until(lambda: node.status()["refuted"] == 199)
    assert derived == [MARK]
    assert state(node) == "ready"  # the last waits until a next derivation is allowed
    assert len(recorded(node)) <= 103


@pytest.mark.parametrize(
    "data",
    [
        {"position": 1000, "hash": "ab" * 32},
        {"position": -1024, "hash": "ab" * 32},
        {"position": 1 << 62, "hash": "ab" * 32},
        {"position": 0, "hash": "AB" * 32},
        {"position": 0, "hash": "ab" * 31},
        {"position": 0, "hash": "x" * 64},
        {"position": 0, "hash": ""},
    ],
)
def test_garbage_is_passed(data: dict[str, Any], cluster: Cluster) -> None:
    node = cluster.node("a")
    put(cluster.log, codec.encode(stamp(node, "f"), "CHECKPOINT", "", data))
    node.create(user("ann"))
    becomes(node, "ready")


class LostLog(MemoryLog):
    """A log of which no other reader can be made."""

    def look(self) -> Look:  # type: ignore[override]
        raise LogUnavailable("no broker answers")


def test_in_doubt_nothing_is_acknowledged_and_reads_go_on(cluster: Cluster) -> None:
    lost = cluster.node("a", LostLog(cluster.store))  # alone: another's would end the doubt
    ann = lost.create(user("ann"))
    cluster.fill(MARK)
    cluster.forge(lost, MARK)
    becomes(lost, "checking")
    wait_until(lambda: "cannot be done now" in lost.status()["reason"]["detail"])
    before = cluster.store.end
    with pytest.raises(NotServing, match="differs from this replica at position 1024"):
        lost.create(user("ben"))
    assert lost.get(User, ann.id) == ann
    assert b"ben@" not in b"".join(record.value for record in cluster.store.records[before:])


def test_where_it_cannot_be_derived_another_node_that_agrees_ends_the_doubt(
    cluster: Cluster,
) -> None:
    """A log that was trimmed: the checkpoint that both ask for is the other's proof."""
    nodes = [cluster.node("a"), cluster.node("b")]
    nodes[0].create(user("ann"))
    cluster.fill(MARK)
    for node in nodes:
        follows(node, MARK)
    cluster.log.trim(100)
    cluster.forge(nodes[0], MARK)
    for node in nodes:
        wait_until(lambda node=node: node.status()["refuted"] == 1)
        becomes(node, "ready")
    nodes[1].create(user("ben"))


def test_a_restart_does_not_forget_a_dispute(cluster: Cluster) -> None:
    first = cluster.node("a", LostLog(cluster.store))
    first.create(user("ann"))
    cluster.fill(MARK)
    cluster.forge(first, MARK)
    becomes(first, "checking")
    first.close()
    again = cluster.node("a")
    wait_until(lambda: again.status()["refuted"] == 1)
    becomes(again, "ready")


def test_what_a_checkpoint_says_survives_the_log() -> None:
    said = Checkpoint(2 * MARK, bytes(range(32)), "a", "i-1")
    assert read_checkpoint(said.to_json()) == said
