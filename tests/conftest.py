"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clusterlite.testing.cluster.kafka import KafkaCluster, KafkaMissing, fetch_jars, free_ports
from clusterlite.testing.cluster.nginx import Nginx, NginxMissing, find_nginx
from tests.processes import leave_out, wait_until

StartNginx = Callable[[list[int]], Nginx]


KINDS = ("unit", "contract", "property", "simulation", "integration", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick kinds first; the browser last, whose driver keeps an event loop of its own running."""
    folder = Path(__file__).parent
    items.sort(key=lambda item: KINDS.index(item.path.relative_to(folder).parts[0]))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A real Kafka of one broker, started once. Skips without Java or Maven; fails in CI."""
    need_kafka()
    with KafkaCluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


def need_kafka() -> None:
    """Leave the test out, with the reason, where no real Kafka can run; in CI that fails."""
    try:
        fetch_jars()
    except KafkaMissing as error:
        leave_out(f"no real Kafka: {error}")


@pytest.fixture(scope="session")
def start_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNginx]:
    """Put a real Nginx before three ports: `start_nginx([1, 2, 3]).port`. Skips without Nginx."""
    need_nginx()
    started: list[Nginx] = []

    def start(nodes: list[int]) -> Nginx:
        nginx = Nginx(tmp_path_factory.mktemp("nginx"), free_ports(1)[0], nodes)
        started.append(nginx)
        nginx.start()
        wait_until(lambda: listens(nginx.port))
        return nginx

    yield start
    for nginx in started:
        nginx.stop()


def need_nginx() -> None:
    """Leave the test out, with the reason, where there is no Nginx; in CI that fails."""
    try:
        find_nginx()
    except NginxMissing as error:
        leave_out(f"no real Nginx: {error}")


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
