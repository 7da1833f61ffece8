"""The pure parts of the fault run: its plan, what it reports, and that it sees what is wrong."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest

from clusterlite.testing.faults.check_load import Operation
from clusterlite.testing.faults.check_model import Model
from clusterlite.testing.faults.plan import (
    Fault,
    Recovery,
    lost,
    not_back,
    plan,
    table,
)
from clusterlite.testing.faults.records import poison

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
    model = Model()
    for position, value in enumerate(poison("a-cluster", random.Random(1))):
        model.feed(position, value)
    assert model.rows == {}
    assert model.outcomes == {}
    assert model.end == position + 1


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


@pytest.mark.parametrize(
    ("outcome", "is_lost"),
    [((5, "applied"), False), ((6, "applied"), True), ((5, "exists"), True), (None, True)],
)
def test_an_acknowledged_write_is_lost_unless_the_topic_has_it_there_with_effect(
    outcome: tuple[int, str] | None, is_lost: bool
) -> None:
    told = Operation(0, "create", "w", "a", None, event="e", position=5, fate="done")
    refused = Operation(0, "create", "w", None, None, fate="refused")
    model = Model(outcomes={} if outcome is None else {"e": outcome})
    assert lost([told, refused], model) == ([told] if is_lost else [])
