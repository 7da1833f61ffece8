"""What is said when Kafka does not do what was asked: plain words, and always a cure."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from clusterlite.log.kafka_errors import CURE, NO_TOPIC_CURE, plainly, unavailable


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (KafkaError._TIMED_OUT, "no answer in time"),
        (KafkaError._MSG_TIMED_OUT, "no acknowledgement in time"),
        (KafkaError._TRANSPORT, "no broker can be reached"),
        (KafkaError._ALL_BROKERS_DOWN, "no broker can be reached"),
        (KafkaError._UNKNOWN_PARTITION, "the partition has no leader that can be reached"),
        (KafkaError.NOT_ENOUGH_REPLICAS, "fewer replicas are in sync than min.insync.replicas"),
    ],
)
def test_a_failure_is_told_in_plain_words_with_the_brokers_cure(code: int, words: str) -> None:
    told = unavailable("events", "its bounds", KafkaError(code))
    assert told.detail == f"Kafka topic events: its bounds: {words}"
    assert told.cure == CURE
    assert str(told) == f"{told.detail}. {told.cure}"


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC])
def test_a_topic_that_is_not_there_has_a_cure_of_its_own(code: int) -> None:
    error = KafkaError(code)
    assert unavailable("events", "its bounds", error).cure == NO_TOPIC_CURE
    gate = f"the last append failed: {plainly(error)}"
    assert unavailable("events", "no writes are taken", gate).cure == NO_TOPIC_CURE


def test_a_failure_without_words_of_ours_keeps_the_clients() -> None:
    error = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED, "who are you")
    told = unavailable("events", "its metadata", error)
    assert told.detail.endswith("who are you")
    assert told.cure == CURE
