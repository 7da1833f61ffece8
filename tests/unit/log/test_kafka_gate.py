"""When an append is refused before it leaves this process, and what opens the gate again."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import KafkaError

from clusterlite.errors import Halt, LogUnavailable
from clusterlite.log import kafka_gate
from clusterlite.log.base import Bounds
from clusterlite.log.kafka_gate import RENEW_S, Gate, barrier_bytes, lost_leader
from clusterlite.log.kafka_producer import KafkaProducer
from clusterlite.log.kafka_reader import out_of_range
from clusterlite.log.kafka_topic import wrong_settings
from tests.processes import wait_until

TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    gate.open()
    return gate


def test_it_is_shut_until_the_log_is_connected() -> None:
    assert Gate().shut is not None


def test_a_failed_append_shuts_it_and_an_acknowledged_barrier_opens_it(gate: Gate) -> None:
    gate.append_failed(TIMED_OUT)
    assert gate.shut is not None
    assert gate.wants_probe()

    gate.probe_begins()
    assert not gate.wants_probe()
    gate.probe_ended(None)
    assert gate.shut is None


def test_a_healthy_log_is_sent_no_barrier(gate: Gate) -> None:
    assert not gate.wants_probe()


def test_a_failed_barrier_leaves_it_shut_and_is_followed_by_a_pause(gate: Gate) -> None:
    gate.append_failed(TIMED_OUT)
    gate.probe_begins()
    gate.probe_ended(TIMED_OUT)
    assert gate.shut is not None
    assert not gate.wants_probe()


def test_the_fault_of_one_record_does_not_shut_it(gate: Gate) -> None:
    gate.append_failed(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    assert gate.shut is None


def test_the_first_reason_is_the_one_that_is_told(gate: Gate) -> None:
    gate.shut_for("the cause")
    gate.shut_for("a consequence")
    assert gate.shut == "the cause"


def test_that_nobody_answers_says_more_than_the_reason_before(gate: Gate) -> None:
    gate.shut_for("the partition has no leader")
    gate.nobody_answers("no broker can be reached")
    assert gate.shut == "no broker can be reached"


def test_a_producer_is_replaced_once_its_gate_was_shut_for_long(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    gate.shut_for("the partition has no leader")
    assert not gate.wants_producer()
    monkeypatch.setattr(time, "monotonic", lambda: now + RENEW_S + 1)
    assert gate.wants_producer()
    gate.producer_is_new()
    assert not gate.wants_producer()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3 * RENEW_S)
    assert gate.wants_producer()
    gate.open()
    assert not gate.wants_producer()


def test_a_producer_that_finds_no_leader_any_more_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_gate, "RENEW_S", 0.0)
    producer = KafkaProducer({"bootstrap.servers": "127.0.0.1:1"}, "events", 1000)
    first = producer._producer
    producer._thread.start()
    try:
        wait_until(lambda: producer._producer is not first)
    finally:
        producer.close()


def test_a_barrier_decodes_to_the_five_fields_and_no_two_are_equal() -> None:
    first, second = json.loads(barrier_bytes()), json.loads(barrier_bytes())
    assert first["operation"] == "BARRIER"
    assert first["table_name"] == ""
    assert first["data"] == {}
    assert first["timestamp"].endswith("Z")
    assert first["id"] != second["id"]


def statistics(leader: int, **states: str) -> str:
    brokers = {
        name: {"nodeid": int(name[1:]), "state": state, "name": name}
        for name, state in states.items()
    }
    topics = {"events": {"partitions": {"0": {"leader": leader}, "-1": {"leader": -1}}}}
    return json.dumps({"brokers": brokers, "topics": topics, "ts": 1})


def test_a_connected_leader_is_not_lost() -> None:
    assert lost_leader(statistics(2, b1="DOWN", b2="UP"), "events") is None


def test_a_partition_without_leader_and_a_leader_without_connection_are_lost() -> None:
    assert lost_leader(statistics(-1, b1="UP"), "events") is not None
    assert lost_leader(statistics(1, b1="DOWN", b2="UP"), "events") is not None


def test_a_topic_that_the_client_does_not_know_yet_tells_nothing() -> None:
    assert lost_leader(statistics(1, b1="UP"), "others") is None


@pytest.mark.parametrize(
    ("position", "reason"), [(4, "log_gap"), (11, "log_rewound"), (5, None), (10, None)]
)
def test_what_an_unknown_position_means(position: int, reason: str | None) -> None:
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    verdict = out_of_range("events", position, Bounds(5, 10), error)
    if reason is None:
        assert isinstance(verdict, LogUnavailable)
    else:
        assert isinstance(verdict, Halt)
        assert verdict.reason == reason


def test_a_truncation_that_the_broker_tells_of_is_a_rewound_log() -> None:
    verdict = out_of_range("events", 7, Bounds(5, 10), KafkaError(KafkaError._LOG_TRUNCATION))
    assert isinstance(verdict, Halt)
    assert verdict.reason == "log_rewound"


SAFE = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
    "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "2",
}


def test_a_safe_topic_has_nothing_wrong() -> None:
    assert list(wrong_settings(SAFE, replicas=3)) == []


def test_redpandas_write_caching_is_wrong() -> None:
    found = SAFE | {"write.caching": "true"}
    assert list(wrong_settings(found, replicas=3)) == [("write.caching", "false")]


def test_a_setting_that_the_broker_does_not_have_is_not_judged() -> None:
    assert list(wrong_settings({"min.insync.replicas": "1"}, replicas=1)) == []
    assert list(wrong_settings({}, replicas=3)) == []


def test_one_in_sync_replica_of_three_is_too_few() -> None:
    found = SAFE | {"min.insync.replicas": "1"}
    assert list(wrong_settings(found, replicas=3)) == [("min.insync.replicas", "2")]
