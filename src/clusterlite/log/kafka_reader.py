"""The reading half of the Kafka log: a follower, and a second connection for questions.

Rules:

1. The position comes from the caller, always: no group, no stored offsets, no reset.
2. What the broker cannot give at that position becomes a `Halt` after a look at the log's
   bounds; it is never passed over.
3. `Batch.next` moves past a hole only with the client's word: the next record's offset, or the
   end-of-partition event (a transaction's marker takes an offset and is no record).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from clusterlite.errors import Halt, LogClosed, LogUnavailable
from clusterlite.log.base import Batch, Bounds, Record
from clusterlite.log.kafka_errors import NO_TOPIC, NO_TOPIC_SAID, unavailable
from clusterlite.log.kafka_settings import Config

ANSWER_TIMEOUT_S = 3.0
ALARM_TIMEOUT_S = 1.0
"""How much longer than asked a `read` may take to find out that it is cut off."""

FAILURES_MAX = 3
"""Questions that fail in a row before they are asked over a new connection."""

LEADER_WAIT_S = 1.0
"""How much longer the first `read` may take, where the brokers do not answer."""

WAKE_S_MAX = 0.2
"""The longest sleep inside librdkafka: it bounds the delay of `close`."""

_OUT_OF_RANGE = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._LOG_TRUNCATION,
    }
)
_OF_GROUPS = frozenset(
    {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""The client asks for a group coordinator that nobody here needs."""


class KafkaFollower:
    """Reads one partition in order, for one thread at a time.

    Args:
        config: the consumer's settings.
        topic: its name.
        ask_bounds: over the second connection, after an error.
    """

    def __init__(self, config: Config, topic: str, ask_bounds: Callable[[float], Bounds]) -> None:
        self._topic = topic
        self._ask_bounds = ask_bounds
        self._consumer = Consumer(config | {"error_cb": self._on_error})
        self._lock = threading.Lock()
        self._closed = False
        self._knows_leader = False
        self._at: int | None = None
        self._pending: KafkaError | None = None
        self._cut_off = False

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """As the port's `read`."""
        with self._lock:
            deadline = time.monotonic() + timeout_s
            while True:
                if self._closed:
                    raise LogClosed("the log is closed")
                self._stand_at(position)
                left_s = deadline - time.monotonic()
                messages = self._messages(max_records, min(left_s, WAKE_S_MAX))
                batch = self._batch(position, messages)
                if batch.records or batch.next != position:
                    return batch
                if left_s <= 0:
                    self._check_reachable()
                    return batch

    def close(self) -> None:
        """End a blocked read and let go of the connection."""
        self._closed = True
        with self._lock:
            self._consumer.close()

    def _stand_at(self, position: int) -> None:
        if self._at != position:
            self._learn_leader()
            self._consumer.assign([TopicPartition(self._topic, 0, position)])
            self._at = position
            self._pending = None

    def _learn_leader(self) -> None:
        """Ask for it once: an assignment that does not know it waits up to a second by itself."""
        if not self._knows_leader:
            self._knows_leader = True
            with suppress(KafkaException):  # then the assignment waits
                self._consumer.list_topics(self._topic, timeout=LEADER_WAIT_S)

    def _messages(self, max_records: int, wait_s: float) -> list[Message]:
        self._raise_pending()
        first = self._consumer.poll(max(0.0, wait_s))
        if first is None:
            return []
        # `consume` waits for its whole number or the whole time: only drain with it.
        rest = self._consumer.consume(max_records - 1, 0) if max_records > 1 else []
        return [first, *rest]

    def _batch(self, position: int, messages: list[Message]) -> Batch:
        """The records among what came; an error behind them waits for the next `read`."""
        records: list[Record] = [_record(m) for m in messages if m.error() is None]
        end = records[-1].position + 1 if records else position
        if len(records) != len(messages):
            records, end = self._sort_out(position, messages)
        if messages:
            self._cut_off = False
        if records and records[0].position < position:
            self._at = None
            raise unavailable(self._topic, "reading", "a late answer of an older question")
        self._at = end
        if not records:
            self._raise_pending()
        return Batch(records, end)

    def _sort_out(self, position: int, messages: list[Message]) -> tuple[list[Record], int]:
        """The records up to the first error, and the position behind them."""
        records: list[Record] = []
        end = position
        for message in messages:
            error = message.error()
            if error is None:
                records.append(_record(message))
                end = records[-1].position + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                end = max(end, cast("int", message.offset()))
            elif error.code() not in _OF_GROUPS:
                self._pending = error
                break  # what came behind it may stand behind a gap: it is read again
        return records, end

    def _raise_pending(self) -> None:
        if self._pending is not None:
            error, self._pending = self._pending, None
            raise self._failure(error)

    def _failure(self, error: KafkaError) -> Halt | LogUnavailable:
        position = self._at or 0
        # Where the client stands is not known after an error: assign anew.
        self._at = None
        if error.code() in _OUT_OF_RANGE:
            return out_of_range(self._topic, position, self._ask_bounds(ANSWER_TIMEOUT_S), error)
        return unavailable(self._topic, "reading", error)

    def _check_reachable(self) -> None:
        """After lost connections silence may mean either: an answer to a question tells."""
        if self._cut_off:
            bounds = self._ask_bounds(ALARM_TIMEOUT_S)
            if self._at is not None and self._at > bounds.end:
                # Still cut off: whoever asks what this log is may not get an answer just now.
                truncated = KafkaError(KafkaError._LOG_TRUNCATION)
                raise out_of_range(self._topic, self._at, bounds, truncated)
            self._cut_off = False

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._cut_off = True


def _record(message: Message) -> Record:
    return Record(cast("int", message.offset()), message.timestamp()[1], message.value() or b"")


def out_of_range(
    topic: str, position: int, bounds: Bounds, error: KafkaError
) -> Halt | LogUnavailable:
    """What it means that the broker has no such position."""
    if position < bounds.first:
        return Halt(
            "log_gap",
            f"Kafka topic {topic} begins at {bounds.first}, this replica needs {position}",
            "Give the node a data folder that has them: a copy of another node's, for example",
        )
    if position > bounds.end or error.code() == KafkaError._LOG_TRUNCATION:
        return Halt(
            "log_rewound",
            f"Kafka topic {topic} ends at {bounds.end}, this replica stands at {position}",
            "Restore the newer log. Replicas may hold what it lost: delete no data folder",
        )
    return unavailable(topic, "reading", error)


class KafkaQuestions:
    """The second connection: single questions that must not wait behind a long poll.

    Args:
        config: the consumer's settings.
        topic: its name.
        no_topic: told when the brokers say that there is none.
    """

    def __init__(
        self, config: Config, topic: str, no_topic: Callable[[str], None] = lambda _: None
    ) -> None:
        self._partition = TopicPartition(topic, 0)
        self._topic = topic
        self._no_topic = no_topic
        self._lock = threading.Lock()
        self._closed = False
        self._config = config | {"error_cb": lambda _: None}
        self._consumer = Consumer(self._config)
        self._failed = 0

    def bounds(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Bounds:
        """As the port's `bounds`."""
        with self._lock:
            self._check_open()
            if self._failed >= FAILURES_MAX:
                self._connect_anew()
            self._failed += 1
            self._consumer.poll(0)
            try:
                found = self._consumer.get_watermark_offsets(
                    self._partition, timeout=timeout_s, cached=False
                )
            except KafkaException as error:
                if error.args[0].code() in NO_TOPIC:
                    self._no_topic(NO_TOPIC_SAID)
                raise unavailable(self._topic, "its bounds", error.args[0]) from error
            if found is None:
                raise unavailable(self._topic, "its bounds", "no answer in time")
            self._failed = 0
            return Bounds(found[0], found[1])

    def _connect_anew(self) -> None:
        """Forget what this client has learnt of the brokers.

        It ignores a leader of an earlier epoch than it has seen: for good, where they came back
        with an older copy of their data. A new client has seen none.
        """
        before, self._consumer = self._consumer, Consumer(self._config)
        before.close()
        self._failed = 0

    def peek(self, position: int) -> Record | None:
        """As the port's `peek`."""
        with self._lock:
            self._check_open()
            self._consumer.assign([TopicPartition(self._topic, 0, position)])
            try:
                return self._first_at(position)
            finally:
                self._consumer.unassign()

    def close(self) -> None:
        """Let go of the connection, after a question that is under way."""
        self._closed = True
        with self._lock:
            self._consumer.close()

    def _first_at(self, position: int) -> Record | None:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while (left_s := deadline - time.monotonic()) > 0:
            message = self._consumer.poll(min(left_s, WAKE_S_MAX))
            if self._closed:
                raise LogClosed("the log is closed")
            if message is None:
                continue
            error = message.error()
            if error is None:
                if message.offset() != position:
                    return None
                return _record(message)
            if error.code() == KafkaError._PARTITION_EOF or error.code() in _OUT_OF_RANGE:
                return None
            if error.code() not in _OF_GROUPS:
                raise unavailable(self._topic, f"position {position}", error)
        raise unavailable(self._topic, f"position {position}", "no answer in time")

    def _check_open(self) -> None:
        if self._closed:
            raise LogClosed("the log is closed")
