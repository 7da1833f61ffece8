"""Records written by others, on nodes: one that follows live, one that is stopped and started
again between them, one that joins later. All tell the same, in one state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clusterlite import Halt, Node
from clusterlite.core.outcome import REJECTED
from clusterlite.errors import RecordTooLarge
from clusterlite.log.base import Log, Record
from clusterlite.log.file import FileLog
from clusterlite.log.memory import RECORD_BYTES_MAX, MemoryLog, MemoryStore
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.verify import Verified, verify
from tests.foreign_events import Person
from tests.foreign_records import CASES, DECLARED, ENTITIES, HALTS, VALUES, people
from tests.nodes import follows, put
from tests.processes import wait_until
from tests.support import replay
from tests.unit.node.conftest import NewLog

LAST = len(VALUES) - 1
PIECE = 10


class Cluster:
    """Nodes by name on one log, which `writer` reaches as another program would."""

    def __init__(self, folder: Path, new_log: NewLog) -> None:
        self.folder = folder
        self._new_log = new_log
        self.writer: Log = new_log()
        self.writer.open()
        self.nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        return Node(self.folder / name, self._new_log(), ENTITIES, node_id=name)

    def states(self) -> list[Verified]:
        return [verify(DataFolder(node.data).replica) for node in self.nodes.values()]


@pytest.fixture(scope="module", params=["memory", "file"])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(request.param)
    store = MemoryStore()
    memory = request.param == "memory"
    cluster = Cluster(folder, lambda: MemoryLog(store) if memory else FileLog(folder / "log"))
    put(cluster.writer, *VALUES[:DECLARED])
    with ExitStack() as opened:
        opened.callback(cluster.writer.close)
        cluster.nodes["live"] = opened.enter_context(cluster.node("live"))
        for start in range(DECLARED, len(VALUES), PIECE):
            written = put(cluster.writer, *VALUES[start : start + PIECE])
            with cluster.node("restarted") as restarted:
                follows(restarted, written)
        for name in ("restarted", "late"):
            cluster.nodes[name] = opened.enter_context(cluster.node(name))
        for node in cluster.nodes.values():
            follows(node, LAST)
        yield cluster


def test_every_node_tells_the_outcome_of_each_record(cluster: Cluster) -> None:
    for name, node in cluster.nodes.items():
        for position, case in enumerate(CASES):
            found = node.outcome(case.event_id(position))
            assert found is not None, (name, case.name)
            if case.code == "duplicate":
                assert found.position < position, (name, case.name)
                continue
            told = (found.position, found.code or found.verdict, found.field)
            assert told == (position, case.code, case.field), (name, case.name)
            assert found.to_json()["status"] == (found.verdict if found.code is None else REJECTED)


def test_every_node_is_in_the_state_of_a_replica_that_applied_them_alone(
    cluster: Cluster, tmp_path: Path
) -> None:
    log = [Record(position, 1, value) for position, value in enumerate(VALUES)]
    alone = replay(tmp_path, log, range(len(log)))
    assert cluster.states() == [alone.verified()] * 3
    alone.close()
    rows = {row.id: row.model_dump() for row in cluster.nodes["late"].list(Person)}
    assert rows == people()


def test_a_record_over_the_limit_is_refused_and_leaves_no_trace(cluster: Cluster) -> None:
    before = cluster.states()
    (refused,) = cluster.writer.append([b"{" + b" " * RECORD_BYTES_MAX])
    with pytest.raises(RecordTooLarge, match=r"has 1000001 bytes, the log takes 1000000"):
        refused.result(10)
    live = cluster.nodes["live"]
    with pytest.raises(RecordTooLarge):
        live.create(Person(name="x" * RECORD_BYTES_MAX, email="large"))
    assert live.sync() == LAST
    assert cluster.states() == before


def test_what_one_build_does_not_know_halts_every_node_at_the_same_place(tmp_path: Path) -> None:
    store = MemoryStore()
    cluster = Cluster(tmp_path, lambda: MemoryLog(store))
    put(cluster.writer, *VALUES[:DECLARED])
    with ExitStack() as opened:
        opened.callback(cluster.writer.close)
        nodes = [opened.enter_context(cluster.node(name)) for name in ("a", "b")]
        put(cluster.writer, VALUES[DECLARED], HALTS[0].value or b"", VALUES[DECLARED])
        for node in nodes:
            wait_until(lambda node=node: node.status()["state"] == "halted")
        late = cluster.node("late")
        with pytest.raises(Halt, match=f"the record at {DECLARED + 1} asks for format 2") as halt:
            late.open()
        told = {"reason": "too_new", "detail": halt.value.detail, "cure": halt.value.cure}
        assert [node.status()["reason"] for node in nodes] == [told, told]
        cluster.nodes = {node.node_id: node for node in (*nodes, late)}
        state, *others = cluster.states()
        assert state.position == DECLARED
        assert others == [state, state]
