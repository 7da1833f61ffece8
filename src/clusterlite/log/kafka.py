"""The log on Kafka or Redpanda: one topic with exactly one partition.

What always holds: the position is the partition's offset; every produce names the partition;
no consumer group, no stored offsets, no transactions. The parts:

    kafka_settings   what an operator may set, and what the guarantees fix
    kafka_topic      the topic: made, checked, identified, trimmed
    kafka_gate       when an append is refused before it leaves this process
    kafka_producer   appends and barriers
    kafka_delivery   what became of each append
    kafka_reader     reads, and questions over a second connection
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaException

from clusterlite.errors import ConfigError, Halt, LogClosed, LogUnavailable
from clusterlite.log.base import Append, Batch, Bounds, Identity, Look, Record
from clusterlite.log.kafka_producer import KafkaProducer
from clusterlite.log.kafka_reader import KafkaFollower, KafkaQuestions
from clusterlite.log.kafka_settings import RECORD_OVERHEAD_BYTES, KafkaSettings
from clusterlite.log.kafka_topic import KafkaTopic, check_topic_name

_T = TypeVar("_T")


class _Open:
    """The connections of an open log."""

    def __init__(self, settings: KafkaSettings, topic: KafkaTopic) -> None:
        self.topic = topic
        self.producer = KafkaProducer(
            settings.producer(topic.message_bytes_max), topic.name, topic.record_bytes_max
        )
        self.questions = KafkaQuestions(settings.questions(), topic.name, self.producer.refuse)
        self.follower = KafkaFollower(settings.follower(), topic.name, self.questions.bounds)

    def close(self) -> None:
        self.follower.close()
        self.questions.close()
        self.producer.close()


class KafkaLog:
    """The port over one topic. See `base.Log` for what each method promises.

    Args:
        brokers: `host:port`, several with commas.
        topic: its name; it is created by `open` where it does not exist.
        options: librdkafka settings by name (SASL, TLS, time-outs).

    Raises:
        ConfigError: an option that a guarantee rests on, or no name of a topic.
    """

    has_doorbell = False

    def __init__(self, brokers: str, topic: str, options: Mapping[str, str]) -> None:
        check_topic_name(topic)
        self._settings = KafkaSettings(brokers, options)
        self._options = options
        self.url = f"kafka://{brokers}/{topic}"
        self.caveat: str | None = None
        self._topic = topic
        self.record_bytes_max = self._settings.message_bytes_max - RECORD_OVERHEAD_BYTES
        self._parts: _Open | None = None
        self._closed = False
        self._settling = threading.Lock()

    def __repr__(self) -> str:
        return f"KafkaLog({self.url!r})"

    def open(self) -> None:
        """As the port's: connect, create or check the topic."""
        if self._closed:
            raise LogClosed("the log is closed")
        if self._parts is not None:
            return
        topic = self._made(lambda: KafkaTopic(self._settings, self._topic))
        topic.ensure()
        parts = self._made(lambda: _Open(self._settings, topic))
        try:
            parts.producer.open()
        except LogUnavailable:
            parts.close()
            raise
        self.record_bytes_max = topic.record_bytes_max
        self.caveat = topic.caveat()
        if not self._keep(parts):
            parts.close()
            raise LogClosed("the log was closed while it was opened")

    def _keep(self, parts: _Open) -> bool:
        """Have these from now on; False where the log was closed meanwhile."""
        with self._settling:
            if not self._closed:
                self._parts = parts
            return not self._closed

    def append(self, values: Sequence[bytes]) -> Sequence[Append]:
        """As the port's."""
        parts = self._parts
        if parts is None:
            return [self._refused() for _ in values]
        return parts.producer.append(values)

    def tail(self) -> Future[int]:
        """As the port's: an acknowledged barrier."""
        return self._refused() if self._parts is None else self._parts.producer.tail()

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """As the port's; `wrong_log` where the topic is another one of the same name."""
        parts = self._open_parts()
        try:
            return parts.follower.read(position, max_records, timeout_s)
        except Halt:
            parts.topic.check_same()
            raise

    def peek(self, position: int) -> Record | None:
        """As the port's."""
        return self._open_parts().questions.peek(position)

    def look(self) -> Look:
        """As the port's."""
        from clusterlite.log.kafka_look import KafkaLook  # noqa: PLC0415 - seldom needed

        self._open_parts()
        return KafkaLook(self._settings.brokers, self._topic, dict(self._options))

    def bounds(self) -> Bounds:
        """As the port's; a topic that takes no writes counts as out of reach."""
        parts = self._open_parts()
        found = parts.questions.bounds()
        parts.producer.check_taken()
        return found

    def identity(self) -> Identity:
        """As the port's: topic id and cluster id."""
        return self._open_parts().topic.identity()

    def trim(self, position: int) -> None:
        """As the port's: DeleteRecords."""
        parts = self._open_parts()
        bounds = parts.questions.bounds()
        if position > bounds.first:
            parts.topic.delete_before(min(position, bounds.end))

    def doorbell(self) -> int | None:
        """None: a thread waits in `read`."""
        return None

    def close(self) -> None:
        """As the port's."""
        with self._settling:
            self._closed = True
            parts, self._parts = self._parts, None
        if parts is not None:
            parts.close()

    def _made(self, make: Callable[[], _T]) -> _T:
        """A client refuses settings that it does not know when it is made."""
        try:
            return make()
        except KafkaException as error:
            raise ConfigError(f"{self.url}: {error.args[0].str()}") from error

    def _open_parts(self) -> _Open:
        if self._parts is None:
            raise self._not_open()
        return self._parts

    def _refused(self) -> Future[int]:
        future: Future[int] = Future()
        future.set_exception(self._not_open())
        return future

    def _not_open(self) -> LogClosed | LogUnavailable:
        if self._closed:
            return LogClosed("the log is closed")
        return LogUnavailable(f"{self.url} is not open")
