"""The log's contract, on all three adapters: the same test ids, Kafka on a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.log.base import Log
from clusterlite.log.file import FileLog
from clusterlite.log.kafka import KafkaLog
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.testing.cluster.kafka import KafkaCluster
from clusterlite.testing.log_contract import LogContract, Logs


@pytest.fixture(params=["memory", "file", "kafka"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Logs]:
    found = {"memory": _memory, "file": _file, "kafka": _kafka}[request.param](request, tmp_path)
    yield found
    found.close()


def _memory(_request: pytest.FixtureRequest, _folder: Path) -> Logs:
    store = MemoryStore()
    return Logs(lambda: MemoryLog(store), MemoryLog)


def _file(_request: pytest.FixtureRequest, folder: Path) -> Logs:
    return Logs(lambda: FileLog(folder / "log"), lambda: FileLog(folder / "other"))


def _kafka(request: pytest.FixtureRequest, _folder: Path) -> Logs:
    broker: KafkaCluster = request.getfixturevalue("kafka")
    topic = f"contract-{uuid.uuid4().hex}"

    def handle(name: str) -> Log:
        return KafkaLog(broker.address, name, {})

    return Logs(lambda: handle(topic), lambda: handle(f"{topic}-other"))


class TestLog(LogContract):
    """Every test of the contract, for every adapter."""
