"""The appending half of the Kafka log: one idempotent producer, its reports, its gate.

Rules:

1. `append` never blocks and never raises for a fault of the log: each value has a future.
2. Before `produce` a refusal is definite; after it every failure is `AppendUnknown` (see
   `kafka_gate`).
3. A barrier answers only callers of `tail` that came before it was handed over.
4. Reports are served by one thread of our own, and by `close`: so a future's callbacks never
   run inside `append`. While somebody waits for one it sleeps inside librdkafka until there is
   something (see `kafka_delivery`). No failure ends it: without it no report would ever come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clusterlite.errors import AppendUnknown, LogClosed, LogError, LogUnavailable, RecordTooLarge
from clusterlite.log.kafka_delivery import IDLE_S, LATE_S, Delivery, Desk, PositionNotTold
from clusterlite.log.kafka_errors import plainly, unavailable
from clusterlite.log.kafka_gate import PAUSE_S_MIN, Gate, barrier_bytes, lost_leader
from clusterlite.log.kafka_settings import Config

CONNECT_TIMEOUT_S = 5.0
SERVE_S_MAX = 0.5
"""The longest sleep of the serving thread: it bounds the delay of a probe and of `close`."""

CLOSE_FLUSH_S = 0.5
PURGE_S_MAX = 5.0


class KafkaProducer:
    """Appends to partition 0 of one topic.

    Args:
        config: the producer's settings.
        topic: its name.
        record_bytes_max: the largest value, in bytes.
    """

    def __init__(self, config: Config, topic: str, record_bytes_max: int) -> None:
        self._topic = topic
        self._record_bytes_max = record_bytes_max
        self._config = config | {"error_cb": self._on_error, "stats_cb": self._on_statistics}
        self._gate = Gate()
        self._desk = Desk(topic, self._gate.append_failed)
        self._closed = False
        self._fatal = False
        # Nothing is handed over after `close` has purged: it would never end.
        self._hand_over_lock = threading.Lock()
        self._tail_lock = threading.Lock()
        self._tail_running: list[Future[int]] = []
        self._tail_waiting: list[Future[int]] = []
        self._producer = Producer(self._config)
        self._thread = threading.Thread(
            target=self._serve_until_closed, name="clusterlite-kafka-producer", daemon=True
        )

    def open(self) -> None:
        """Connect, open the gate where the partition has a leader, start serving.

        Raises:
            LogUnavailable: no broker answered in time.
        """
        try:
            found = self._producer.list_topics(self._topic, timeout=CONNECT_TIMEOUT_S)
        except KafkaException as error:
            raise unavailable(self._topic, "its metadata", error.args[0]) from error
        partition = found.topics[self._topic].partitions.get(0)
        if partition is not None and partition.leader >= 0:
            self._gate.open()
        self._thread.start()

    @property
    def shut(self) -> str | None:
        """Why appends are refused now; None while they are taken."""
        return self._gate.shut

    def refuse(self, reason: str) -> None:
        """Take no appends until a barrier was acknowledged."""
        self._gate.shut_for(reason)

    def check_taken(self) -> None:
        """Raise what an append would be refused with now, if it would be."""
        refusal = self._refusal()
        if refusal is not None:
            raise refusal

    def append(self, values: Sequence[bytes]) -> list[Delivery]:
        """As the port's `append`."""
        deliveries = [Delivery(self._desk) for _ in values]
        messages: list[dict[str, object]] = []
        accepted: list[Delivery] = []
        for value, delivery in zip(values, deliveries, strict=True):
            if len(value) > self._record_bytes_max:
                delivery.settle(self._too_large(len(value)))
            else:
                accepted.append(delivery)
                messages.append({"value": value, "callback": delivery.reported})
        if messages:
            self._hand_over(messages, accepted)
        return deliveries

    def tail(self) -> Future[int]:
        """As the port's `tail`: one barrier for all who came before it was begun."""
        future = _running()
        with self._tail_lock:
            self._tail_waiting.append(future)
            if self._tail_running:
                return future
            self._tail_running, self._tail_waiting = self._tail_waiting, []
        self._send_barrier()
        return future

    def close(self) -> None:
        """Let what is under way end for a moment, then fail the rest as `AppendUnknown`."""
        if self._closed:
            return
        if self._gate.shut is None:
            self._producer.flush(CLOSE_FLUSH_S)
        with self._hand_over_lock:
            self._closed = True
        self._desk.wake()
        if self._thread.ident is not None:
            self._thread.join()
        _purge(self._producer)
        # Its callbacks make a cycle: let go of the connections now, not when it is collected.
        del self._producer
        self._fail_waiting_tails()

    def _refusal(self) -> LogClosed | LogUnavailable | None:
        if self._closed:
            return LogClosed("the log is closed")
        shut = self.shut
        return None if shut is None else unavailable(self._topic, "no writes are taken", shut)

    def _too_large(self, size: int) -> RecordTooLarge:
        return RecordTooLarge(
            f"a record of {size} bytes is over the log's limit of {self._record_bytes_max}"
        )

    def _hand_over(self, messages: list[dict[str, object]], accepted: Sequence[Delivery]) -> None:
        failures: Sequence[LogError | None]
        with self._hand_over_lock:
            refusal = self._refusal()
            failures = self._produce(messages) if refusal is None else [refusal] * len(messages)
        for delivery, failure in zip(accepted, failures, strict=True):
            if failure is not None:
                delivery.settle(failure)

    def _produce(self, messages: list[dict[str, object]]) -> list[LogError | None]:
        """For each message None where the producer took it, else what went wrong."""
        otherwise: LogError | None = None
        try:
            if self._producer.produce_batch(self._topic, messages, partition=0) == len(messages):
                return [None] * len(messages)
        except (KafkaException, BufferError) as error:
            otherwise = AppendUnknown(f"Kafka topic {self._topic}: the producer failed: {error}")
        return [self._not_queued(message) or otherwise for message in messages]

    def _not_queued(self, message: dict[str, object]) -> LogUnavailable | None:
        error = message.get("_error")
        if not isinstance(error, KafkaError):
            return None
        return unavailable(self._topic, "not handed over", error)

    def _send_barrier(self) -> None:
        outcome = self.append([barrier_bytes()])[0]
        outcome.add_done_callback(self._barrier_ended)

    def _barrier_ended(self, outcome: Delivery) -> None:
        error = outcome.exception()
        with self._tail_lock:
            answered = self._tail_running
            if isinstance(error, PositionNotTold):
                # Any later barrier answers them as well.
                answered, self._tail_waiting = [], answered + self._tail_waiting
            self._tail_running, self._tail_waiting = self._tail_waiting, []
            again = bool(self._tail_running)
        for future in answered:
            if error is None:
                future.set_result(outcome.result())
            else:
                future.set_exception(error)
        if again:
            self._send_barrier()

    def _serve_until_closed(self) -> None:
        while not self._closed:
            try:
                if self._desk.busy:
                    self._producer.poll(SERVE_S_MAX)
                else:
                    self._desk.rest(LATE_S if len(self._producer) else IDLE_S)
                    self._producer.poll(0)
                if self._fatal or self._gate.wants_producer():
                    self._renew()
                if self._gate.wants_probe():
                    self._probe()
            except Exception as error:  # noqa: BLE001 - rule 4
                self._gate.shut_for(f"the producer failed: {error!r}")
                time.sleep(PAUSE_S_MIN)

    def _probe(self) -> None:
        self._gate.probe_begins()

        def ended(error: KafkaError | None, _: Message) -> None:
            self._gate.probe_ended(error)

        message: dict[str, object] = {"value": barrier_bytes(), "callback": ended}
        try:
            self._producer.produce_batch(self._topic, [message], partition=0)
            refused = message.get("_error")
        except Exception as error:  # noqa: BLE001 - whatever it is, the next probe comes
            refused = KafkaError(KafkaError._FAIL, str(error))
        if isinstance(refused, KafkaError):
            self._gate.probe_ended(refused)

    def _renew(self) -> None:
        """Replace a producer that is dead for good, or that finds no leader any more.

        What is handed over meanwhile goes to the next one: the reports that end the first one may
        open the gate.
        """
        fresh = Producer(self._config)
        with self._hand_over_lock:
            before, self._producer = self._producer, fresh
        _purge(before)
        self._fatal = False
        self._gate.producer_is_new()

    def _fail_waiting_tails(self) -> None:
        with self._tail_lock:
            left = self._tail_running + self._tail_waiting
            self._tail_running, self._tail_waiting = [], []
        for future in left:
            future.set_exception(LogClosed("the log is closed"))

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True
            self._gate.shut_for(f"the producer failed: {error.str()}")
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._gate.nobody_answers(plainly(error))

    def _on_statistics(self, statistics: str) -> None:
        lost = lost_leader(statistics, self._topic)
        if lost is not None:
            self._gate.shut_for(lost)


def _purge(producer: Producer) -> None:
    producer.purge()
    producer.flush(PURGE_S_MAX)


def _running() -> Future[int]:
    """A future that cannot be cancelled: what was handed over cannot be taken back."""
    future: Future[int] = Future()
    future.set_running_or_notify_cancel()
    return future
