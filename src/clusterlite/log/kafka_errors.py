"""What is said when Kafka does not do what was asked: what, where, and what to do about it."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from clusterlite.errors import LogUnavailable

CURE: Final = (
    "See that the brokers run, that --log names them and that enough replicas are in sync. "
    "Reads go on meanwhile, and writes again by themselves"
)

NO_TOPIC: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
NO_TOPIC_SAID: Final = "the brokers have no such topic"
NO_TOPIC_CURE: Final = (
    "If it was deleted, restore the brokers' data from a copy: a topic made again under its name "
    "is another log. Reads go on, and the replicas hold the rows: delete no data folder"
)

_TOO_LATE: Final = "no answer in time"
_NOBODY: Final = "no broker can be reached"
_NO_LEADER: Final = "the partition has no leader that can be reached"
_PLAINLY: Final = {
    KafkaError._TIMED_OUT: _TOO_LATE,
    KafkaError._TIMED_OUT_QUEUE: _TOO_LATE,
    KafkaError.REQUEST_TIMED_OUT: _TOO_LATE,
    KafkaError._MSG_TIMED_OUT: "no acknowledgement in time",
    KafkaError._TRANSPORT: _NOBODY,
    KafkaError._ALL_BROKERS_DOWN: _NOBODY,
    KafkaError._RESOLVE: "the brokers' names are not known here",
    KafkaError._UNKNOWN_PARTITION: _NO_LEADER,
    KafkaError.LEADER_NOT_AVAILABLE: _NO_LEADER,
    KafkaError.NOT_ENOUGH_REPLICAS: "fewer replicas are in sync than min.insync.replicas",
    **dict.fromkeys(NO_TOPIC, NO_TOPIC_SAID),
}


def plainly(error: KafkaError) -> str:
    """The error in words; librdkafka's own where we have none."""
    return _PLAINLY.get(error.code()) or error.str()


def unavailable(topic: str, what: str, cause: KafkaError | str) -> LogUnavailable:
    """The error for what Kafka did not do.

    Args:
        topic: its name.
        what: was asked.
        cause: why it was not done.
    """
    said = cause if isinstance(cause, str) else plainly(cause)
    cure = NO_TOPIC_CURE if NO_TOPIC_SAID in said else CURE
    return LogUnavailable(f"Kafka topic {topic}: {what}: {said}", cure)
