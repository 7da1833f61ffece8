"""Nodes whose Kafka goes away and comes back: reads go on, no write is acknowledged, readiness
tells the truth, and all of it recovers by itself (I12, I13).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterlite.testing.cluster.kafka import KafkaCluster
from clusterlite.testing.cluster.nginx import Nginx
from tests.conftest import StartNginx, need_kafka
from tests.processes import Serve, request, wait_until

PERSON = {"name": "Ann", "email": "ann@example.com"}
FAILS_FAST_S = 2.0


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    """A Kafka that this test may stop."""
    need_kafka()
    with KafkaCluster(tmp_path / "kafka") as cluster:
        yield cluster


@pytest.fixture
def nodes(own_kafka: KafkaCluster, tmp_path: Path) -> Iterator[list[Serve]]:
    log = f"kafka://{own_kafka.address}/events"
    started = [Serve(tmp_path / f"node-{number}", log) for number in (1, 2, 3)]
    for node in started:
        node.start(ready=False)
    for node in started:
        node.wait_ready()
    yield started
    for node in started:
        node.stop()


@pytest.fixture
def nginx(nodes: list[Serve], start_nginx: StartNginx) -> Nginx:
    return start_nginx([node.port for node in nodes])


def test_without_kafka_reads_go_on_and_nothing_is_acknowledged(
    own_kafka: KafkaCluster, nodes: list[Serve], nginx: Nginx
) -> None:
    created = request(nginx.port, "POST", "/users", PERSON)
    assert created.status == 201
    path, token = created.headers["location"], created.headers["clusterlite-token"]
    for node in nodes:
        assert node.request("GET", path, headers={"ClusterLite-Token": token}).status == 200

    own_kafka.brokers[0].stop()
    doubtful = request(nginx.port, "POST", "/users", {"name": "first", "email": "x"})
    assert doubtful.status in {503, 504}, doubtful
    for node in nodes:
        wait_until(lambda node=node: node.request("GET", "/-/health/ready").status == 503)
        assert status(node)["state"] == "log_unreachable", status(node)

    for number in range(6):
        begun = time.monotonic()
        refused = request(nginx.port, "POST", "/users", {"name": f"no {number}", "email": "x"})
        assert refused.status == 503, refused
        assert time.monotonic() - begun < FAILS_FAST_S
        assert request(nginx.port, "GET", path).json == created.json
    assert request(nginx.port, "PUT", path, {**PERSON, "name": "Ben"}).status == 503
    assert request(nginx.port, "DELETE", path).status == 503

    own_kafka.brokers[0].start()
    written = []
    for node in nodes:
        node.wait_ready()
        written.append(node.request("POST", "/users", {"name": "after", "email": "x"}))
        assert written[-1].status == 201, f"it said that it is ready: {written[-1]}"
    assert request(nginx.port, "POST", "/users", PERSON).status == 201

    expected = ["Ann", "Ann", *["after"] * len(nodes)]
    if doubtful.status == 504:
        event = request(nginx.port, "POST", f"{doubtful.headers['location']}/settle").json
        expected += ["first"] if event["status"] == "applied" else []
    wait_until(
        lambda: all(names(node) == sorted(expected) for node in nodes),
        lambda: f"{expected}: {[names(node) for node in nodes]}",
    )
    wait_until(lambda: len({status(node)["hash"] for node in nodes}) == 1)


def names(node: Serve) -> list[str]:
    return sorted(row["name"] for row in node.request("GET", "/users").json)


def status(node: Serve) -> dict[str, Any]:
    found: dict[str, Any] = node.request("GET", "/-/cluster").json
    return found
