"""The kinds of fault: each stands in the reference, and what a node must not do is told."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clusterlite.testing.cluster.nodes import Cluster
from clusterlite.testing.faults.disk import LoopDisk
from clusterlite.testing.faults.faults import Faults, Parts
from clusterlite.testing.faults.operator import NotAsExpected, Operator
from clusterlite.testing.faults.plan import Fault

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "faults.md"


def cluster(folder: Path, brokers: int = 3) -> Cluster:
    """What the kinds ask of one before anything is made."""
    nodes = [SimpleNamespace(name=f"node-{n}", held=False) for n in (1, 2, 3)]
    links = [SimpleNamespace(ports=[n], set=lambda _: None) for n in (1, 2, 3)]
    kafka = SimpleNamespace(brokers=[SimpleNamespace(running=True)] * brokers)
    found = SimpleNamespace(folder=folder, nodes=nodes, links=links, kafka=kafka)
    return cast("Cluster", found)


def faults(folder: Path, status: dict[str, Any] | None = None) -> Faults:
    disk = LoopDisk(folder / "image", folder / "mounted")
    parts = Parts(2, (1, disk), (0, folder / "time"), traced=True)
    return Faults(cluster(folder), lambda _: status or {}, parts, 1)


def test_every_kind_stands_in_the_reference(tmp_path: Path) -> None:
    disk = LoopDisk(tmp_path / "image", tmp_path / "mounted")
    parts = Parts(2, (1, disk), (0, tmp_path / "time"), traced=True, filtered=True)
    made = Faults(cluster(tmp_path), lambda _: {}, parts, 1).targets()
    documented = re.findall(r"^\| `([^`]+)` \|", REFERENCE.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(made)


def test_what_is_missing_leaves_its_kinds_out(tmp_path: Path) -> None:
    kinds = Faults(cluster(tmp_path, brokers=1), lambda _: {}, Parts(), 1).targets()
    missing = {"slow disk", "disk full", "power lost", "clock jumps", "packets lost"}
    assert not missing & kinds.keys()
    assert {"whole node killed", "link deaf", "log rewound"} <= kinds.keys()


def test_a_node_that_does_not_halt_as_it_must_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = faults(tmp_path)

    def wrong(_node: int) -> None:
        raise NotAsExpected("node-1 serves")

    kind = made._kinds["node paused"]
    monkeypatch.setitem(made._kinds, "node paused", kind._replace(make=wrong))
    made.make(Fault("node paused", 0))
    assert made.wrong == ["node paused: node-1 serves"]


def test_halts_are_counted_by_their_reason_and_another_one_is_told(tmp_path: Path) -> None:
    halted = {"state": "halted", "reason": {"reason": "log_gap", "detail": "", "cure": ""}}
    operator = Operator(cluster(tmp_path), lambda _: halted)
    assert operator.wait_halt(0, "log_gap") == "log_gap"
    assert operator.seen == {"halt log_gap": 1}
    with pytest.raises(NotAsExpected, match="node-2 halted with log_gap, not wrong_log"):
        operator.wait_halt(1, "wrong_log")


def repaired(folder: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Operator, Any]:
    """An operator whose nodes' processes have ended, and the command that it says."""
    operator = Operator(cluster(folder), lambda _: {})
    node = operator.cluster.nodes[1]
    node.data = folder
    operator.cluster.kafka.address = "127.0.0.1:9"  # type: ignore[misc]
    said: list[tuple[str, ...]] = []

    def clusterlite(*arguments: str) -> Any:
        said.append(arguments)
        return SimpleNamespace(returncode=code, stderr="it is empty\n")

    monkeypatch.setattr(operator, "end", lambda *_: None)
    monkeypatch.setattr(operator, "clusterlite", clusterlite)
    return operator, said


def test_a_replica_is_repaired_by_the_command_that_the_halt_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, said = repaired(tmp_path, 0, monkeypatch)
    (tmp_path / "aside-1").mkdir()
    operator.repair(1)
    log = "kafka://127.0.0.1:9/db_events"
    assert said == [("repair", str(tmp_path), "--log", log, "--yes")]
    assert not list(tmp_path.iterdir()), "what an earlier repair set aside takes room"
    assert operator.seen == {"cure clusterlite repair": 1}
    assert not operator.cluster.nodes[1].held


def test_a_repair_that_is_refused_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, _ = repaired(tmp_path, 2, monkeypatch)
    with pytest.raises(NotAsExpected, match="repair of node-2 refused: it is empty"):
        operator.repair(1)
    assert operator.seen == {}
