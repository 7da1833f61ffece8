"""The pure parts of the fault run: its plan, what it reports, and that it sees what is wrong."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from clusterlite.testing.faults.judge import summary
from clusterlite.testing.faults.plan import (
    Fault,
    Recovery,
    chosen,
    not_back,
    plan,
    quiet_s,
    table,
)
from clusterlite.testing.faults.records import poison
from clusterlite.testing.faults.run import FaultRun
from clusterlite.testing.history import Model, Operation, Record
from clusterlite.testing.load.load import Load

BROKER = Recovery(Fault("broker killed", None), 3.0, 5.0, 2.0, Counter({201: 7, 503: 4, 504: 1}))
NODE = Recovery(Fault("whole node killed", 1), 13.0, 0.0, 4.0, Counter({503: 2, 0: 3, 502: 1}))


TARGETS = {
    "worker killed": (0, 1, 2),
    "node paused": (0, 1, 2),
    "disk full": (2,),
    "broker killed": None,
}


def first(count: int, seed: int) -> list[Fault]:
    return list(itertools.islice(plan(seed, TARGETS), count))


def test_every_kind_of_fault_comes_once_in_each_round() -> None:
    planned = first(10 * len(TARGETS), seed=1)
    for begin in range(0, len(planned), len(TARGETS)):
        assert {fault.kind for fault in planned[begin : begin + len(TARGETS)]} == TARGETS.keys()
    for fault in planned:
        nodes = TARGETS[fault.kind]
        assert fault.node is None if nodes is None else fault.node in nodes
    assert {fault.node for fault in planned if fault.kind == "node paused"} == {0, 1, 2}


def test_a_seed_gives_its_plan_again_and_another_seed_another_one() -> None:
    assert first(30, seed=1) == first(30, seed=1)
    assert first(30, seed=1) != first(30, seed=2)


def test_what_a_fault_run_throws_in_has_no_effect_in_the_model() -> None:
    values = poison("a-cluster", random.Random(1))
    model = Model(Record(position, 0, value) for position, value in enumerate(values))
    assert model.position == len(values) - 1
    assert model.tables == {}
    assert {outcome.verdict for _, outcome in model.records.values()} == {"rejected"}


def test_a_fault_is_told_with_its_time_to_recover_and_what_clients_met() -> None:
    line = " ".join(BROKER.line().split())
    assert line == (
        "3.0 s broker killed for 5.0 s, back after 2.00 s, "
        "meanwhile 7 done, 0 x 202, 4 x 503, 1 x 504, 0 cut off"
    )
    assert "whole node killed of node-2" in NODE.line()
    assert "4 cut off" in NODE.line()


def test_the_table_has_a_line_for_each_kind_with_median_and_worst() -> None:
    slower = replace(BROKER, back_s=4.0)
    lines = [" ".join(line.split()) for line in table([BROKER, NODE, slower])]
    assert lines[1:] == [
        "broker killed 2 3.00 s 4.00 s 8 2",
        "whole node killed 1 4.00 s 4.00 s 2 0",
    ]


def test_a_node_that_did_not_come_back_is_a_violation() -> None:
    assert not_back([BROKER, NODE]) == []
    (wrong,) = not_back([BROKER, replace(NODE, back_s=None)])
    assert "whole node killed of node-2" in wrong
    assert table([replace(NODE, back_s=None)])[1].split()[3:6] == ["1", "-", "-"]


def test_names_are_chosen_by_their_parts_and_one_that_is_none_is_told() -> None:
    assert chosen(TARGETS, []) == TARGETS
    assert set(chosen(TARGETS, ["killed"])) == {"worker killed", "broker killed"}
    assert set(chosen(TARGETS, ["node p", "disk"])) == {"node paused", "disk full"}
    with pytest.raises(SystemExit, match=r"'flood'.*worker killed"):
        chosen(TARGETS, ["killed", "flood"])


def test_without_kinds_there_are_no_faults() -> None:
    assert list(plan(1, {})) == []


def test_a_quarter_of_the_time_is_quiet() -> None:
    assert quiet_s([], 1.0) == 1.0
    assert quiet_s([BROKER], 1.0) == pytest.approx((BROKER.lasted_s + 2.0) / 3)
    assert quiet_s([replace(BROKER, lasted_s=0.1, back_s=0.2)], 1.0) == 1.0


def test_the_end_tells_what_became_of_every_operation() -> None:
    statuses = ["done", "done", "rejected", "failed", "never", "unknown", "unknown"]
    history = [
        Operation(f"c{n}", "create", {"row": {"name": f"w-{n}"}}, 0.0, status=status)
        for n, status in enumerate(statuses)
    ]
    log = [Record(0, 0, b"\xff"), Record(1, 0, b'{"data": {"id": "x", "name": "w-5"}}')]
    said = summary([*history, Operation("r", "read", {}, 0.0, 1.0, "done")], history[1:], log)
    assert [" ".join(line.split()) for line in said] == [
        "8 operations: 7 writes, 1 reads",
        "writes: 2 acknowledged, 1 rejected by the log",
        "1 definitely failed, 1 closed as never",
        "reads: 1 answered, 0 not",
        "unknown for a time: 6; since then 1 were acknowledged",
        "1 rejected, 1 closed as never",
        "2 stay unknown: 1 are in the log, 1 not",
    ]


class Broken:
    """Faults of which none can be made."""

    healed = 0

    def make(self, fault: Fault) -> float:
        raise RuntimeError("node-1 has no worker process now")

    def heal(self) -> None:
        self.healed += 1


def test_a_fault_that_cannot_be_made_is_told_and_healed_and_the_run_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults, cluster = Broken(), SimpleNamespace(nodes=[])
    load = Load([1], [], clients=1, seed=1)
    run = FaultRun(cluster, faults, {}, load, seed=1)  # type: ignore[arg-type]
    assert asyncio.run(run._make(Fault("worker killed", 0))) is None
    assert faults.healed == 1
    assert capsys.readouterr().out == (
        "COULD NOT BE MADE: worker killed: node-1 has no worker process now\n"
    )
