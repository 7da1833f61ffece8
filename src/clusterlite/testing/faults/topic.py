"""The whole topic, read by a consumer of our own: none of the code that is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from clusterlite.testing.history import Record

READ_WAIT_S: Final = 60.0
"""How long the topic may give nothing before its end."""

_AT_ONCE: Final = 1000


def read_topic(brokers: str, topic: str) -> list[Record]:
    """Read a whole topic by a consumer of our own.

    It is read once its end is passed: no record need stand there, but a transaction's mark.

    Args:
        brokers: where to ask.
        topic: of one partition.

    Raises:
        RuntimeError: it cannot be read, or nothing more comes of it.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "judgement",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    try:
        return list(_records(consumer, topic))
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str) -> Iterator[Record]:
    partition = TopicPartition(topic, 0, 0)
    _, end = consumer.get_watermark_offsets(partition, timeout=10)
    consumer.assign([partition])
    reached = 0
    while reached < end:
        first = consumer.poll(READ_WAIT_S)
        if first is None:
            raise RuntimeError(
                f"the topic {topic} ends at {end}, and nothing came after {reached} for "
                f"{READ_WAIT_S:.0f} s: look whether its brokers run"
            )
        for message in [first, *consumer.consume(_AT_ONCE, 0)]:
            error, offset = message.error(), message.offset() or 0
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise RuntimeError(str(error))
            reached = offset if error is not None else offset + 1
            if error is None:
                yield Record(offset, message.timestamp()[1], message.value() or b"")
