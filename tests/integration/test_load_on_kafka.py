"""Three real nodes on a real Kafka under load, one killed meanwhile; and what is judged of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.testing.cluster.kafka import KafkaCluster
from clusterlite.testing.faults.judge import Judgement
from clusterlite.testing.load.load import Load
from clusterlite.testing.load.workloads import WORKLOADS
from tests.processes import Serve, kill, wait_until

CLIENTS = 8
STEPS = 150
ENTITIES = ("--entities", "clusterlite.testing.load.entities")


@pytest.fixture
def nodes(kafka: KafkaCluster, topic: str, tmp_path: Path) -> Iterator[list[Serve]]:
    log = f"kafka://{kafka.address}/{topic}"
    started = [Serve(tmp_path / f"node-{number}", log, ENTITIES) for number in (1, 2, 3)]
    for node in started:
        node.start(ready=False)
    for node in started:
        node.wait_ready()
    state = {
        "kafka": kafka.address,
        "topic": topic,
        "nodes": [
            {"name": node.data.name, "port": node.port, "data": str(node.data)} for node in started
        ],
    }
    (tmp_path / "state.json").write_text(json.dumps(state))
    yield started
    for node in started:
        node.stop()


def test_a_load_under_which_a_node_dies_is_judged_sound_and_a_lost_write_is_seen(
    nodes: list[Serve], tmp_path: Path
) -> None:
    names = ("counter", "bank")
    workloads = [WORKLOADS[name]() for name in names]
    load = Load([node.port for node in nodes], workloads, CLIENTS, seed=1, steps=STEPS)
    judgement = Judgement(tmp_path / "state.json", load)

    async def run() -> list[str]:
        await judgement.begin()
        await load.begin()
        running = asyncio.create_task(load.run())
        await asyncio.to_thread(wait_until, lambda: load.taken > STEPS / 3)
        await asyncio.to_thread(kill, nodes[1].children()["node"][0])
        await running
        wrong = await judgement.judge()
        await load.close()
        return wrong

    assert asyncio.run(run()) == []
    history = load.recorder.history()
    assert {operation.status for operation in history} >= {"done", "rejected"}
    assert load.tally.answers[503] + load.tally.answers[0] > 0, "nobody met the kill"

    lost = max(index for index, record in enumerate(judgement.records) if b'"n"' in record.value)
    judgement.records[lost] = judgement.records[lost]._replace(value=b"{}")
    assert any(line.startswith("lost") for line in judgement._check())
