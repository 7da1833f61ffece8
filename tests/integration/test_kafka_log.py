"""The Kafka adapter on a real broker: what goes in comes out, in order, at its position."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import Producer

from clusterlite.errors import (
    ConfigError,
    Halt,
    LogClosed,
    LogUnavailable,
    RecordTooLarge,
)
from clusterlite.log.base import Log, Record
from clusterlite.log.kafka import KafkaLog
from clusterlite.testing.cluster.kafka import KafkaCluster
from tests.integration.conftest import OpenLog

WAIT_S = 20.0


def append(log: KafkaLog, *values: bytes) -> list[int]:
    return [future.result(WAIT_S) for future in log.append(values)]


def read_to(log: KafkaLog, end: int, position: int = 0) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + WAIT_S
    while position < end:
        assert time.monotonic() < deadline, f"stands at {position}, wants {end}"
        batch = log.read(position, 1000, 1.0)
        records += batch.records
        position = batch.next
    return records


def test_it_is_a_log(log: KafkaLog) -> None:
    assert isinstance(log, Log)
    assert log.doorbell() is None


def test_what_was_appended_is_read_by_another_handle_in_order(
    kafka: KafkaCluster, topic: str, open_log, log: KafkaLog
) -> None:
    values = [b"%d" % n for n in range(3000)]
    positions = [p for n in range(0, 3000, 100) for p in append(log, *values[n : n + 100])]
    assert positions == list(range(3000))

    records = read_to(open_log(kafka.address, topic), 3000)

    assert [r.value for r in records] == values
    assert [r.position for r in records] == positions
    assert all(abs(r.time_ms / 1000 - time.time()) < 600 for r in records)


def test_reads_of_many_threads_appends_are_one_order(log: KafkaLog) -> None:
    def writer(name: int) -> None:
        for n in range(50):
            futures = log.append([b"%d.%d.a" % (name, n), b"%d.%d.b" % (name, n)])
            assert futures[0].result(WAIT_S) < futures[1].result(WAIT_S)

    threads = [threading.Thread(target=writer, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    records = read_to(log, 400)
    for name in range(4):
        mine = [r.value for r in records if r.value.startswith(b"%d." % name)]
        assert mine == [b"%d.%d.%s" % (name, n, c) for n in range(50) for c in (b"a", b"b")]


def test_read_waits_no_longer_than_asked_and_for_no_more_than_is_there(log: KafkaLog) -> None:
    append(log, b"one", b"two")
    read_to(log, 2)

    begun = time.monotonic()
    assert log.read(2, 10, 0.3) == ([], 2)
    assert 0.25 < time.monotonic() - begun < 2

    append(log, b"three")
    begun = time.monotonic()
    assert [r.value for r in log.read(2, 10, 10.0).records] == [b"three"]
    assert time.monotonic() - begun < 5
    assert [r.value for r in log.read(0, 2, 10.0).records] == [b"one", b"two"]


def test_tail_is_at_least_every_acknowledged_position(log: KafkaLog) -> None:
    last = append(log, b"a", b"b")[-1]
    tails = [log.tail() for _ in range(50)]
    assert all(tail.result(WAIT_S) > last for tail in tails)
    # Shared: the first call's own barrier, and one for all that came while it was under way.
    assert log.bounds().end <= last + 1 + 3


def test_peek_gives_the_record_at_exactly_that_position(log: KafkaLog) -> None:
    append(log, b"a", b"b")
    record = log.peek(1)
    assert record is not None
    assert record.value == b"b"
    assert log.peek(2) is None
    assert log.peek(1000) is None


def test_peek_and_bounds_do_not_move_a_reader(log: KafkaLog) -> None:
    append(log, b"a", b"b", b"c")
    assert log.read(0, 1, WAIT_S).next == 1
    log.peek(0)
    assert log.bounds() == (0, 3)
    assert [r.value for r in read_to(log, 3, position=1)] == [b"b", b"c"]


def test_the_null_value_of_another_producer_is_empty(
    kafka: KafkaCluster, topic: str, log: KafkaLog
) -> None:
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(topic, value=None, key=b"k", partition=0)
    assert producer.flush(WAIT_S) == 0
    assert [r.value for r in read_to(log, 1)] == [b""]


def test_a_transactions_marker_is_a_hole_that_next_passes(
    kafka: KafkaCluster, topic: str, log: KafkaLog
) -> None:
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(WAIT_S)
    for ended in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(topic, value=b"in a transaction", partition=0)
        producer.flush(WAIT_S)
        ended(WAIT_S)

    # The broker writes a marker a moment after it has answered.
    deadline = time.monotonic() + WAIT_S
    while log.bounds() != (0, 4):
        assert time.monotonic() < deadline, log.bounds()
    records = read_to(log, 4)

    # The aborted one too: at read_uncommitted no open transaction can stop a replica.
    assert [r.position for r in records] == [0, 2]
    assert log.peek(1) is None
    assert append(log, b"after") == [4]
    assert [r.value for r in read_to(log, 5, position=4)] == [b"after"]


def test_records_trimmed_away_halt_the_reader(log: KafkaLog) -> None:
    append(log, b"a", b"b", b"c")
    log.trim(2)
    assert log.bounds() == (2, 3)
    with pytest.raises(Halt) as halt:
        read_to(log, 3)
    assert halt.value.reason == "log_gap"
    assert [r.value for r in read_to(log, 3, position=2)] == [b"c"]
    assert log.peek(1) is None

    log.trim(100)
    assert log.bounds() == (3, 3)
    assert append(log, b"d") == [3]


def test_a_position_beyond_the_end_halts_the_reader(log: KafkaLog) -> None:
    append(log, b"a")
    with pytest.raises(Halt) as halt:
        log.read(5, 10, WAIT_S)
    assert halt.value.reason == "log_rewound"


def test_the_largest_record_is_taken_and_one_byte_more_is_refused(log: KafkaLog) -> None:
    assert log.record_bytes_max > 900_000
    fits, too_large, after = log.append(
        [b"x" * log.record_bytes_max, b"x" * (log.record_bytes_max + 1), b"small"]
    )
    with pytest.raises(RecordTooLarge):
        too_large.result(0)
    assert [fits.result(WAIT_S), after.result(WAIT_S)] == [0, 1]


def test_a_full_queue_refuses_what_it_did_not_take(
    kafka: KafkaCluster, topic: str, open_log
) -> None:
    log = open_log(kafka.address, topic, queue_buffering_max_messages="10")
    futures = log.append([b"%d" % n for n in range(15)])
    errors = [future.exception(WAIT_S) for future in futures]
    assert errors[:10] == [None] * 10
    assert all(isinstance(error, LogUnavailable) for error in errors[10:])
    assert log.bounds().end == 10


def test_close_ends_a_blocked_read_and_leaves_no_thread(
    kafka: KafkaCluster, topic: str, open_log
) -> None:
    before = set(threading.enumerate())
    log = open_log(kafka.address, topic)
    ended: list[BaseException] = []
    reading = threading.Event()

    def read() -> None:
        reading.set()
        try:
            log.read(0, 10, 60.0)
        except LogClosed as error:
            ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    log.close()
    thread.join(WAIT_S)

    assert len(ended) == 1
    assert set(threading.enumerate()) == before
    for ask in (log.bounds, log.identity, lambda: log.peek(0), lambda: log.read(0, 1, 1)):
        with pytest.raises(LogClosed):
            ask()
    with pytest.raises(LogClosed):
        log.append([b"late"])[0].result(0)
    with pytest.raises(LogClosed):
        log.tail().result(0)
    log.close()


def test_an_option_that_the_client_does_not_know_is_named(kafka: KafkaCluster, topic: str) -> None:
    log = KafkaLog(kafka.address, topic, {"no.such.option": "1"})
    with pytest.raises(ConfigError, match=r"no\.such\.option"):
        log.open()


@pytest.mark.parametrize("pause_s", [0.0, 0.01, 0.05])
def test_a_log_that_is_closed_while_it_opens_leaves_nothing_behind(
    kafka: KafkaCluster, topic: str, open_log: OpenLog, pause_s: float
) -> None:
    open_log(kafka.address, topic).close()  # the topic is there
    before = set(threading.enumerate())
    log = KafkaLog(kafka.address, topic, {})
    ended: list[BaseException | None] = []

    def opening() -> None:
        try:
            log.open()
        except LogClosed as error:
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=opening)
    thread.start()
    thread.join(pause_s)
    log.close()
    thread.join(WAIT_S)
    assert len(ended) == 1
    assert set(threading.enumerate()) <= before
