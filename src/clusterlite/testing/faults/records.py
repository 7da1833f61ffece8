"""Records that no node asked for: copies of records that are there, and what nobody can read."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition

COPIES_MAX: Final = 50
POISON: Final = "poison-"
"""What the ids of records begin with that no node may apply."""

_WAIT_S: Final = 20.0


def poison(cluster: str, chance: random.Random) -> list[bytes]:
    """Records that must be passed by every node alike, and stop none.

    Args:
        cluster: the cluster id, for those that claim to be ours.
        chance: makes each run's different.
    """
    name = f"{POISON}{chance.getrandbits(32):08x}"
    ours: dict[str, Any] = {
        "id": name,
        "operation": "INSERT",
        "table_name": "users",
        "data": {"id": name, "name": "x", "email": "x"},
        "timestamp": "2026-01-01T00:00:00Z",
        "format": 1,
        "cluster": cluster,
        "node": "nobody",
        "actor": "",
        "after": 0,
        "fp": "",
        "schema": 1 << 40,
    }
    return [
        b"",
        b"\x00\xff\xfe broken",
        b'{"id": "' + name.encode() + b'", "operation": "INS',
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b'{"id": "\xed\xa0\x80"}',
        json.dumps(ours | {"cluster": "another cluster"}).encode(),
        json.dumps(ours | {"operation": "EXPLODE"}).encode(),
        json.dumps(ours | {"data": {"id": name, "name": 7, "email": []}}).encode(),
        json.dumps(ours | {"data": {"id": name, "name": "x" * 900_000}}).encode(),
        json.dumps(ours | {"format": 9, "cluster": "another cluster"}).encode(),
        json.dumps(ours | {"table_name": "no_such_table"}).encode(),
    ]


def last_records(brokers: str, topic: str, count: int) -> list[bytes]:
    """The values of a topic's newest records, oldest first."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "faults",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
    )
    try:
        partition = TopicPartition(topic, 0)
        first, end = consumer.get_watermark_offsets(partition, timeout=_WAIT_S)
        consumer.assign([TopicPartition(topic, 0, max(first, end - count))])
        values: list[bytes] = []
        while True:
            message = consumer.poll(_WAIT_S)
            if message is None or message.error() is not None:
                return values
            values.append(message.value() or b"")
            if (message.offset() or 0) + 1 >= end:
                return values
    finally:
        consumer.close()


def produce(brokers: str, topic: str, values: list[bytes]) -> None:
    """Append records.

    Raises:
        RuntimeError: not all were acknowledged in time.
    """
    producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, partition=0)
    if producer.flush(_WAIT_S):
        raise RuntimeError("records of the fault were not acknowledged")
