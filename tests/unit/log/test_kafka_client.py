"""What the Kafka adapter makes of its client's oddities, with a client that shows them at will."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from clusterlite.errors import LogUnavailable
from clusterlite.log import kafka_producer, kafka_reader
from clusterlite.log.base import Bounds
from clusterlite.log.kafka_producer import KafkaProducer
from clusterlite.log.kafka_reader import KafkaFollower
from tests.processes import wait_until


class Message:
    """A record, or an event of the client."""

    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self._offset = offset
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (2, 1_000)

    def value(self) -> bytes:
        return b"%d" % self._offset


class Consumer:
    """Gives what it was told, all at once, and notes where it was assigned."""

    def __init__(self, _config: object = None) -> None:
        self.given: list[Message] = []
        self.assigned: list[int] = []

    def list_topics(self, _topic: str, timeout: float) -> None:
        assert timeout > 0

    def assign(self, partitions: list[Any]) -> None:
        self.assigned += [partition.offset for partition in partitions]

    def poll(self, _timeout_s: float) -> Message | None:
        return self.given.pop(0) if self.given else None

    def consume(self, _count: int, _timeout_s: float) -> list[Message]:
        given, self.given = self.given, []
        return given

    def close(self) -> None:
        pass


def test_a_record_behind_an_error_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()
    monkeypatch.setattr(kafka_reader, "Consumer", lambda _: consumer)
    follower = KafkaFollower({}, "events", lambda _: Bounds(0, 10))
    damaged = Message(-1, KafkaError(KafkaError._BAD_MSG))
    consumer.given = [Message(5), damaged, Message(7)]

    batch = follower.read(5, 10, 0)
    assert [record.position for record in batch.records] == [5]
    assert batch.next == 6
    with pytest.raises(LogUnavailable):
        follower.read(6, 10, 0)

    consumer.given = [Message(6), Message(7)]
    assert [record.position for record in follower.read(6, 10, 0).records] == [6, 7]
    assert consumer.assigned == [5, 6]


class Producer:
    """Acknowledges everything when it is polled, once its troubles are over."""

    troubles: list[Exception]
    """What the next calls of `poll`, `produce_batch` or the constructor raise, by place."""

    def __init__(self, at: str, *troubles: Exception) -> None:
        self.at = at
        self.troubles = list(troubles)
        self.made = 0
        self._reports: list[Callable[[None, Message], None]] = []

    def make(self, _config: object) -> Producer:
        self.made += 1
        if self.made > 1:
            self._fall("renew")
        return self

    def _fall(self, place: str) -> None:
        if place == self.at and self.troubles:
            raise self.troubles.pop(0)

    def __len__(self) -> int:
        return len(self._reports)

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        leaderless = SimpleNamespace(leader=-1)
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: leaderless})})

    def produce_batch(self, _topic: str, messages: list[Any], partition: int) -> int:
        assert partition == 0
        self._fall("produce")
        self._reports += [message["callback"] for message in messages]
        return len(messages)

    def poll(self, _timeout_s: float) -> int:
        self._fall("poll")
        reports, self._reports = self._reports, []
        for report in reports:
            report(None, Message(0))
        return len(reports)

    def purge(self) -> None:
        pass

    def flush(self, _timeout_s: float = 0) -> int:
        return self.poll(0)


Opened = Callable[[Producer], KafkaProducer]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    made: list[KafkaProducer] = []

    def open_with(client: Producer) -> KafkaProducer:
        monkeypatch.setattr(kafka_producer, "Producer", client.make)
        producer = KafkaProducer({}, "events", 1_000)
        made.append(producer)
        producer.open()
        return producer

    yield open_with
    for producer in made:
        producer.close()


TROUBLES = [
    KafkaException(KafkaError(KafkaError._STATE)),
    BufferError("the queue is full"),
    RuntimeError("a defect"),
]


@pytest.mark.parametrize("place", ["produce", "poll"])
def test_no_failure_of_the_client_ends_the_barriers_that_open_the_gate(
    opened: Opened, place: str
) -> None:
    client = Producer(place, *TROUBLES)
    producer = opened(client)
    wait_until(lambda: producer.shut is None)
    assert client.troubles == []
    assert producer.append([b"taken"])[0].result(5) == 0


def test_a_failed_client_is_replaced_at_the_second_try_too(opened: Opened) -> None:
    client = Producer("renew", KafkaException(KafkaError(KafkaError._FAIL)))
    producer = opened(client)
    wait_until(lambda: producer.shut is None)
    producer._on_error(KafkaError(KafkaError._FATAL, "out of sequence", True))
    assert producer.append([b"refused"])[0].exception(5) is not None
    wait_until(lambda: client.made == 3 and producer.shut is None)
    assert producer.append([b"taken"])[0].result(5) == 0
