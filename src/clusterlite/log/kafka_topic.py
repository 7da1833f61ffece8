"""The topic behind the log: made where it is absent, and checked before anything is written.

A topic that could lose or reorder what it acknowledged is refused, with the one command that
cures it. What merely is not fault-tolerant is told as a caveat. All questions go over the admin
client, a connection of its own, and each has a short time-out.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, undeclared
    AdminClient,
    ConfigResource,
    NewTopic,
    TopicDescription,
    TopicMetadata,
)

from clusterlite.errors import ConfigError, Halt, LogUnavailable
from clusterlite.log.base import Identity
from clusterlite.log.kafka_errors import plainly, unavailable
from clusterlite.log.kafka_settings import RECORD_OVERHEAD_BYTES, KafkaSettings

ANSWER_TIMEOUT_S = 3.0
CREATE_TIMEOUT_S = 15.0
REPLICATION_MAX = 3
NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""The zero id: what a broker without topic ids answers."""

_T = TypeVar("_T")


def check_topic_name(name: str) -> None:
    """Raise ConfigError for a name that no broker takes."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise ConfigError(
            f"{name!r} is no name of a Kafka topic: 1 to 249 letters, digits, dots, hyphens "
            "and underscores"
        )


class KafkaTopic:
    """One topic, over an admin client.

    Args:
        settings: how to reach the brokers.
        name: of the topic.
    """

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self.name = name
        self._settings = settings
        # No bound method: a cycle would keep the client's connections until it is collected.
        self._client_errors: deque[KafkaError] = deque(maxlen=1)
        self._admin = AdminClient(settings.admin() | {"error_cb": self._client_errors.append})
        self._first: Identity | None = None
        self.brokers = 0
        self.replicas = 0
        self.in_sync_min = 1
        self.message_bytes_max = settings.message_bytes_max

    def ensure(self) -> None:
        """Create the topic where it is absent, then check it.

        Raises:
            ConfigError: it is not as the log needs it; the message holds the cure.
            LogUnavailable: the brokers cannot be reached now, or the topic has no leader.
        """
        found = self._metadata(ANSWER_TIMEOUT_S)
        if found is None:
            self._create()
            found = self._wait_for_leader()
        if len(found.partitions) != 1:
            raise ConfigError(self._partitions_cure(len(found.partitions)))
        self.replicas = len(found.partitions[0].replicas)
        self._check(self._configuration())

    def identity(self) -> Identity:
        """Topic id and cluster id, asked of the brokers.

        Raises:
            LogUnavailable: they did not answer in time, or the topic is not there.
        """
        # Only a poll hands on what the client has to log.
        self._admin.poll(0)
        cluster = self._admin.describe_cluster(request_timeout=ANSWER_TIMEOUT_S)
        topics = self._admin.describe_topics(
            TopicCollection([self.name]), request_timeout=ANSWER_TIMEOUT_S
        )
        description: TopicDescription = self._answer(topics[self.name], "its id")
        home = self._answer(cluster, "the cluster's id").cluster_id or ""
        topic_id = str(description.topic_id)
        found = Identity("kafka", "" if topic_id == NO_TOPIC_ID else topic_id, home)
        self._first = self._first or found
        return found

    def check_same(self) -> None:
        """Ask whether it still is the topic whose identity was told first.

        Raises:
            Halt: `wrong_log`, it is another one of the same name.
            LogUnavailable: as `identity`.
        """
        first, now = self._first, self.identity()
        if first is not None and first != now:
            raise Halt(
                "wrong_log",
                f"Kafka topic {self.name} was deleted and made again: it was {first.log_id} and "
                f"is {now.log_id}",
                "Point the node at its own log, or give it an empty data folder to join this one",
            )

    def delete_before(self, position: int) -> None:
        """Have the brokers delete the records before `position`.

        Raises:
            LogUnavailable: they did not do it in time.
        """
        deleted = self._admin.delete_records(
            [TopicPartition(self.name, 0, position)], request_timeout=ANSWER_TIMEOUT_S
        )
        for future in deleted.values():
            self._answer(future, f"deleting the records before {position}")

    def caveat(self) -> str | None:
        """What is not fault-tolerant, None where a broker can be lost."""
        if self.replicas <= 1:
            return (
                f"topic {self.name} has one replica, as durable as that broker's flushes "
                "to its disk"
            )
        if self.in_sync_min >= self.replicas:
            return (
                f"topic {self.name} has {self.replicas} replicas, and every write needs all of "
                "them: one broker down stops all writes"
            )
        return None

    def _metadata(self, timeout_s: float) -> TopicMetadata | None:
        try:
            listed = self._admin.list_topics(self.name, timeout=timeout_s)
        except KafkaException as error:
            raise self._unavailable("its metadata", error) from error
        self.brokers = len(listed.brokers)
        topic = listed.topics[self.name]
        if topic.error is None:
            return topic
        if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if topic.error.code() == KafkaError.LEADER_NOT_AVAILABLE:
            return topic
        raise self._unavailable("its metadata", KafkaException(topic.error))

    def _create(self) -> None:
        replicas = min(REPLICATION_MAX, max(1, self.brokers))
        config = dict(_NEEDED) | {"min.insync.replicas": str(min(2, replicas))}
        if self._is_redpanda():
            config["write.caching"] = "false"
        topic = NewTopic(self.name, num_partitions=1, replication_factor=replicas, config=config)
        created = self._admin.create_topics([topic], request_timeout=CREATE_TIMEOUT_S)
        try:
            created[self.name].result(timeout=CREATE_TIMEOUT_S + 1)
        except (KafkaException, FutureTimeout) as error:
            # Another node of the cluster, started at the same moment, was quicker.
            if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._unavailable("making it", error) from error

    def _wait_for_leader(self) -> TopicMetadata:
        deadline = time.monotonic() + CREATE_TIMEOUT_S
        while time.monotonic() < deadline:
            found = self._metadata(ANSWER_TIMEOUT_S)
            if found and found.partitions and all(p.leader >= 0 for p in found.partitions.values()):
                return found
            time.sleep(0.02)
        raise unavailable(self.name, "making it", "it got no leader in time")

    def _configuration(self) -> Mapping[str, str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.name)
        asked = self._admin.describe_configs([resource], request_timeout=ANSWER_TIMEOUT_S)
        try:
            entries = asked[resource].result(timeout=ANSWER_TIMEOUT_S + 1)
        except (KafkaException, FutureTimeout) as error:
            if _code(error) == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise ConfigError(
                    f"the settings of Kafka topic {self.name} may not be read: "
                    "allow DescribeConfigs on it to this user"
                ) from error
            raise self._unavailable("its settings", error) from error
        return {name: entry.value or "" for name, entry in entries.items()}

    def _check(self, found: Mapping[str, str]) -> None:
        wrong = list(wrong_settings(found, self.replicas))
        if wrong:
            have = ", ".join(f"{name}={found[name]}" for name, _ in wrong)
            want = ",".join(f"{name}={value}" for name, value in wrong)
            raise ConfigError(
                f"Kafka topic {self.name} could lose or alter what it acknowledged: {have}. "
                f"Cure: kafka-configs.sh --bootstrap-server {self._settings.brokers} --alter "
                f"--entity-type topics --entity-name {self.name} --add-config {want}"
            )
        self.in_sync_min = int(found.get("min.insync.replicas") or 1)
        topic_max = int(found.get("max.message.bytes") or self.message_bytes_max)
        self.message_bytes_max = min(self._settings.message_bytes_max, topic_max)

    @property
    def record_bytes_max(self) -> int:
        """The largest value that fits into a message set of the topic, in bytes."""
        return self.message_bytes_max - RECORD_OVERHEAD_BYTES

    def _is_redpanda(self) -> bool:
        cluster = self._admin.describe_cluster(request_timeout=ANSWER_TIMEOUT_S)
        home = self._answer(cluster, "the cluster's id").cluster_id or ""
        return home.startswith("redpanda.")

    def _partitions_cure(self, count: int) -> str:
        return (
            f"Kafka topic {self.name} has {count} partitions; the log needs exactly one, since "
            "only a partition has an order. Partitions cannot be taken away: choose another "
            "topic, or create one with --partitions 1 and copy the records into it"
        )

    def _answer(self, future: Future[_T], what: str) -> _T:
        try:
            answer = future.result(timeout=ANSWER_TIMEOUT_S + 1)
        except (KafkaException, FutureTimeout) as error:
            raise self._unavailable(what, error) from error
        self._client_errors.clear()  # of an outage that is over
        return answer

    def _unavailable(self, what: str, error: Exception) -> LogUnavailable:
        # A failed login or handshake shows only here; to the question it is a lost connection.
        self._admin.poll(0)
        cause = "no answer in time" if _code(error) is None else plainly(error.args[0])
        told = "".join(f" ({told.str()})" for told in self._client_errors)
        return unavailable(self.name, what, f"{cause}, at {self._settings.brokers}{told}")


_NEEDED: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
    # Log time is the brokers': a producer's clock must not move the window of event ids.
    "message.timestamp.type": "LogAppendTime",
}


def wrong_settings(found: Mapping[str, str], replicas: int) -> Iterator[tuple[str, str]]:
    """Name and needed value of each of the topic's settings under which it is refused.

    Args:
        found: the topic's settings as the broker told them; one that it lacks is not judged.
        replicas: the topic's replication factor.
    """
    for name, needed in _NEEDED.items():
        if found.get(name, needed) != needed:
            yield name, needed
    told = found.get("min.insync.replicas")  # Redpanda tells none: it needs a majority, always
    in_sync_min = int(told or 1)
    if told and replicas >= REPLICATION_MAX and in_sync_min < 2:
        yield "min.insync.replicas", "2"
    if in_sync_min > replicas:
        yield "min.insync.replicas", str(min(2, replicas))
    if found.get("write.caching", "false") == "true":
        yield "write.caching", "false"


def _code(error: Exception) -> int | None:
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        return error.args[0].code()
    return None
