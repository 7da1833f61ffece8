"""Raw limits of this machine and its Kafka: what no implementation gets below."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from benchmarks.bare import BY_KEY, open_reader

BLOCK: Final = os.urandom(4096)
RECORD: Final = b"x" * 300
"""About as long as the event of a create."""

_ANSWER_WAIT_S: Final = 30.0


class RawUser(msgspec.Struct):
    """A row as plain code would hold it."""

    id: str
    name: str
    email: str


def fsync_p50_ms(folder: Path, seconds: float) -> float:
    """Append 4 KiB to a file and wait until the disk has it: median in milliseconds."""
    path = folder / "fsync"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)

    def once() -> None:
        os.write(descriptor, BLOCK)
        os.fsync(descriptor)

    try:
        return p50_ms(once, seconds)
    finally:
        os.close(descriptor)
        path.unlink()


def p50_ms(once: Callable[[], None], seconds: float) -> float:
    """Call for some seconds: the median call in milliseconds."""
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while not times or time.perf_counter() < deadline:
        begun = time.perf_counter()
        once()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000


def per_s(once: Callable[[str], object], keys: list[str]) -> float:
    """Call for each key: calls a second."""
    begun = time.perf_counter()
    for key in keys:
        once(key)
    return len(keys) / (time.perf_counter() - begun)


class RawReads:
    """Reads by key without anything around them.

    Args:
        path: of a file that `bare.make_file` wrote.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_reader(path)

    def get(self, key: str) -> RawUser:
        """One row that is there."""
        row = self._connection.execute(BY_KEY, (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return RawUser(*row[2:])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class RoundTrip:
    """One record at a time through a topic of its own, with the settings of a node's clients.

    Args:
        brokers: their addresses.
        topic: made here.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        client: dict[str, str | int | float | bool] = {
            "bootstrap.servers": brokers,
            "socket.nagle.disable": "true",
        }
        admin = AdminClient(client)
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(_ANSWER_WAIT_S)
        self._topic = topic
        self._producer = Producer(
            client | {"acks": "all", "enable.idempotence": "true", "linger.ms": "0"}
        )
        self._consumer = Consumer(client | {"group.id": "raw", "enable.auto.commit": "false"})
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._once()

    def p50_ms(self, seconds: float) -> float:
        """Produced with all acknowledgements until consumed: median in milliseconds."""
        times: list[float] = []
        deadline = time.perf_counter() + seconds
        while not times or time.perf_counter() < deadline:
            times.append(self._once())
        return statistics.median(times) * 1000

    def _once(self) -> float:
        begun = time.perf_counter()
        self._producer.produce(self._topic, RECORD, partition=0)
        message = self._consumer.poll(_ANSWER_WAIT_S)
        taken = time.perf_counter() - begun
        if message is None or message.error() is not None:
            raise RuntimeError(f"Kafka did not give back the record: {message and message.error()}")
        self._producer.flush(_ANSWER_WAIT_S)  # the next one leaves alone
        return taken

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
