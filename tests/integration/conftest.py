"""Fixtures of the tests on real processes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from clusterlite.log.kafka import KafkaLog
from clusterlite.testing.cluster.kafka import KafkaBroker, KafkaCluster
from tests.http_node import http_node
from tests.processes import Serve

OpenLog = Callable[..., KafkaLog]


@pytest.fixture
def topic() -> str:
    """A topic name that nobody used before."""
    return f"events-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_log() -> Iterator[OpenLog]:
    """Open logs that are closed with the test: `open_log(address, topic, **options)`."""
    logs: list[KafkaLog] = []

    def opened(address: str, topic: str, **options: str) -> KafkaLog:
        log = KafkaLog(address, topic, {k.replace("_", "."): v for k, v in options.items()})
        logs.append(log)
        log.open()
        return log

    yield opened
    for log in logs:
        log.close()


@pytest.fixture
def log(kafka: KafkaCluster, topic: str, open_log: OpenLog) -> KafkaLog:
    """A log over a fresh topic of the shared broker."""
    return open_log(kafka.address, topic)


@pytest.fixture
def broker(single: KafkaCluster) -> Iterator[KafkaBroker]:
    """The broker of a module's own `single` cluster, which runs again after the test."""
    broker = single.brokers[0]
    yield broker
    if broker.running:
        broker.resume()
    else:
        broker.start()
        broker.wait_started()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A running node that many tests share: each brings ids of its own."""
    with http_node(tmp_path_factory.mktemp("shared")) as serve:
        yield serve
