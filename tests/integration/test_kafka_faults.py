"""The Kafka adapter while brokers die, freeze and come back: I1, I2, I11 at the log's level."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial

import pytest
from confluent_kafka import KafkaError

from clusterlite.errors import AppendUnknown, LogUnavailable
from clusterlite.log.kafka import KafkaLog
from clusterlite.testing.cluster.kafka import KafkaBroker, KafkaCluster
from tests.conftest import need_kafka
from tests.processes import wait_until

WAIT_S = 40.0
FAST_S = 0.1
"""What a write may take to be refused while Kafka is known to be away."""

eventually = partial(wait_until, timeout_s=WAIT_S)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A broker of these tests' own, which they kill."""
    need_kafka()
    with KafkaCluster(tmp_path_factory.mktemp("kafka-faults")) as cluster:
        yield cluster


@pytest.fixture
def log(single: KafkaCluster, broker: KafkaBroker, topic: str, open_log) -> KafkaLog:
    return open_log(single.address, topic)


def append(log: KafkaLog, value: bytes) -> Future[int]:
    return log.append([value])[0]


def refused(log: KafkaLog) -> bool:
    future = append(log, b"is the gate shut?")
    return future.done() and isinstance(future.exception(), LogUnavailable)


def values(log: KafkaLog) -> list[bytes]:
    """Everything in the log but barriers."""
    found: list[bytes] = []
    position, end = log.bounds()
    while position < end:
        batch = log.read(position, 1000, 1.0)
        found += [record.value for record in batch.records]
        position = batch.next
    return [value for value in found if b'"BARRIER"' not in value]


def append_when_open(log: KafkaLog, value: bytes) -> Future[int]:
    """Append as soon as the gate, which nobody touches, has opened by itself."""
    futures: list[Future[int]] = []

    def taken() -> bool:
        futures.append(append(log, value))
        return not futures[-1].done() or futures[-1].exception() is None

    eventually(taken)
    return futures[-1]


def test_a_killed_broker_refuses_at_once_and_loses_nothing(
    log: KafkaLog, broker: KafkaBroker
) -> None:
    acknowledged = [b"%d" % n for n in range(200)]
    for future in log.append(acknowledged):
        future.result(WAIT_S)
    broker.kill()
    eventually(lambda: refused(log))

    begun = time.monotonic()
    with pytest.raises(LogUnavailable):
        append(log, b"never written").result(FAST_S)
    with pytest.raises(LogUnavailable):
        log.tail().result(FAST_S)
    assert time.monotonic() - begun < 2 * FAST_S

    broker.start()
    broker.wait_started()
    append_when_open(log, b"after").result(WAIT_S)

    found = values(log)
    assert found[:200] == acknowledged
    assert found[-1] == b"after"
    assert b"never written" not in found


def test_questions_fail_in_short_time_while_the_broker_is_away(
    log: KafkaLog, broker: KafkaBroker
) -> None:
    broker.kill()
    for ask in (log.bounds, log.identity, lambda: log.peek(0), lambda: log.read(0, 10, 0.5)):
        begun = time.monotonic()
        with pytest.raises(LogUnavailable):
            ask()
        assert time.monotonic() - begun < 6


def test_a_reader_goes_on_by_itself_after_a_restart(log: KafkaLog, broker: KafkaBroker) -> None:
    append(log, b"before").result(WAIT_S)
    assert log.read(0, 10, WAIT_S).next == 1
    broker.kill()
    broker.start()
    broker.wait_started()
    append_when_open(log, b"after").result(WAIT_S)

    def reads_after() -> bool:
        try:
            return any(r.value == b"after" for r in log.read(1, 10, 1.0).records)
        except LogUnavailable:
            return False

    eventually(reads_after)


def test_open_says_unavailable_and_may_be_called_again(
    single: KafkaCluster, broker: KafkaBroker, topic: str
) -> None:
    broker.kill()
    log = KafkaLog(single.address, topic, {})
    try:
        with pytest.raises(LogUnavailable):
            log.open()
        with pytest.raises(LogUnavailable):
            append(log, b"x").result(FAST_S)
        broker.start()
        broker.wait_started()
        log.open()
        assert append(log, b"x").result(WAIT_S) == 0
    finally:
        log.close()


def test_a_frozen_broker_makes_an_append_unknown_after_the_delivery_time(
    single: KafkaCluster, broker: KafkaBroker, topic: str, open_log
) -> None:
    log = open_log(single.address, topic, delivery_timeout_ms="2000")
    append(log, b"first").result(WAIT_S)
    broker.pause()
    frozen = append(log, b"frozen")
    with pytest.raises(AppendUnknown):
        frozen.result(WAIT_S)
    with pytest.raises(LogUnavailable):
        append(log, b"refused").result(FAST_S)

    broker.resume()
    append_when_open(log, b"last").result(WAIT_S)

    found = values(log)
    assert found.count(b"frozen") <= 1
    assert b"refused" not in found
    assert found[0] == b"first"
    assert found[-1] == b"last"


def test_closing_over_a_frozen_broker_is_quick_and_leaves_the_append_unknown(
    single: KafkaCluster, broker: KafkaBroker, topic: str, open_log
) -> None:
    log = open_log(single.address, topic)
    append(log, b"first").result(WAIT_S)
    broker.pause()
    pending, tail = append(log, b"pending"), log.tail()
    begun = time.monotonic()
    log.close()
    assert time.monotonic() - begun < 10
    for future in (pending, tail):
        with pytest.raises(AppendUnknown):
            future.result(0)


def test_a_shut_gate_opens_with_one_barrier_and_then_sends_no_more(
    log: KafkaLog, broker: KafkaBroker
) -> None:
    broker.kill()
    eventually(lambda: refused(log))
    broker.start()
    broker.wait_started()
    append_when_open(log, b"open").result(WAIT_S)
    first, end = log.bounds()
    batch = log.read(first, 1000, 1.0)
    barriers = [r for r in batch.records if b'"BARRIER"' in r.value]
    assert 1 <= len(barriers) <= 3
    # One statistics interval and one probe pause later the topic is as it was.
    assert log.read(end, 10, 2.5).records == []


def test_a_producer_that_failed_for_good_is_replaced(log: KafkaLog) -> None:
    append(log, b"before").result(WAIT_S)
    assert log._parts is not None
    # librdkafka's word for it; no broker can be made to cause it at will.
    log._parts.producer._on_error(KafkaError(KafkaError._FATAL, "out of sequence", True))
    assert refused(log)
    append_when_open(log, b"after").result(WAIT_S)
    assert values(log) == [b"before", b"after"]
