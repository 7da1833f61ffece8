"""The topic on a real broker: made as the log needs it, refused where it is otherwise."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from clusterlite.errors import ConfigError, LogUnavailable
from clusterlite.log.kafka import KafkaLog
from clusterlite.testing.cluster.kafka import KafkaCluster

WAIT_S = 20.0
SAFE = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}


@pytest.fixture
def admin(kafka: KafkaCluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.address})


def create(admin: AdminClient, topic: str, partitions: int = 1, **config: str) -> None:
    settings = {name.replace("_", "."): value for name, value in config.items()}
    new = NewTopic(topic, partitions, 1, config=SAFE | settings)
    admin.create_topics([new])[topic].result(WAIT_S)


def refusal(kafka: KafkaCluster, topic: str) -> str:
    with pytest.raises(ConfigError) as refused:
        KafkaLog(kafka.address, topic, {}).open()
    return str(refused.value)


def test_an_absent_topic_is_made_with_the_logs_settings(
    admin: AdminClient, topic: str, log: KafkaLog
) -> None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    found = admin.describe_configs([resource])[resource].result(WAIT_S)
    made = {name: entry.value for name, entry in found.items()}
    needed = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "1",
    }
    assert {name: made[name] for name in needed} == needed
    assert len(admin.list_topics(topic, timeout=WAIT_S).topics[topic].partitions) == 1


def test_one_broker_is_told_as_a_caveat(log: KafkaLog) -> None:
    assert log.caveat is not None
    assert "has one replica" in log.caveat


def test_a_topic_that_is_as_needed_is_taken(
    kafka: KafkaCluster, admin: AdminClient, topic: str, open_log
) -> None:
    create(admin, topic)
    log = open_log(kafka.address, topic)
    assert log.append([b"a"])[0].result(WAIT_S) == 0


def test_three_partitions_are_refused(kafka: KafkaCluster, admin: AdminClient, topic: str) -> None:
    create(admin, topic, partitions=3)
    message = refusal(kafka, topic)
    assert "3 partitions" in message
    assert "--partitions 1" in message


@pytest.mark.parametrize(
    ("setting", "value", "cure"),
    [
        ("cleanup_policy", "compact", "cleanup.policy=delete"),
        ("cleanup_policy", "compact,delete", "cleanup.policy=delete"),
        ("retention_ms", "604800000", "retention.ms=-1"),
        ("retention_bytes", "1000000", "retention.bytes=-1"),
        ("message_timestamp_type", "CreateTime", "message.timestamp.type=LogAppendTime"),
        ("unclean_leader_election_enable", "true", "unclean.leader.election.enable=false"),
        ("min_insync_replicas", "2", "min.insync.replicas=1"),
    ],
)
def test_a_dangerous_setting_is_refused_with_its_cure(
    kafka: KafkaCluster, admin: AdminClient, topic: str, setting: str, value: str, cure: str
) -> None:
    create(admin, topic, **{setting: value})
    message = refusal(kafka, topic)
    assert "kafka-configs" in message
    assert topic in message
    assert cure in message


def test_the_topics_own_limit_bounds_a_record(
    kafka: KafkaCluster, admin: AdminClient, topic: str, open_log
) -> None:
    create(admin, topic, max_message_bytes="2000")
    log = open_log(kafka.address, topic)
    assert 1500 < log.record_bytes_max < 2000
    values = [b"x" * size for size in (log.record_bytes_max, 1, 900, 950, 10, 500) * 5]
    futures = log.append(values)
    assert [future.result(WAIT_S) for future in futures] == list(range(30))


def test_identity_names_topic_and_cluster_and_two_handles_agree(
    kafka: KafkaCluster, topic: str, open_log, log: KafkaLog
) -> None:
    identity = log.identity()
    assert identity.kind == "kafka"
    assert identity.log_id
    assert identity.home
    assert open_log(kafka.address, topic).identity() == identity
    other = open_log(kafka.address, topic + "-other").identity()
    assert (other.home, other.log_id != identity.log_id) == (identity.home, True)


def test_a_topic_deleted_and_made_again_has_another_identity(
    admin: AdminClient, topic: str, log: KafkaLog
) -> None:
    before = log.identity()
    log.append([b"a"])[0].result(WAIT_S)
    admin.delete_topics([topic])[topic].result(WAIT_S)
    with pytest.raises(LogUnavailable):
        log.identity()

    deadline = time.monotonic() + WAIT_S
    while topic in admin.list_topics(timeout=WAIT_S).topics:
        assert time.monotonic() < deadline
    create(admin, topic)

    after = None
    while after is None:
        assert time.monotonic() < deadline
        with suppress(LogUnavailable):
            after = log.identity()
    assert after.log_id != before.log_id
    assert after.home == before.home


def test_a_login_that_cannot_succeed_is_told_as_the_reason(kafka: KafkaCluster, topic: str) -> None:
    options = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": "hunter2",
    }
    log = KafkaLog(kafka.address, topic, options)
    with pytest.raises(LogUnavailable, match=r"(?i)sasl") as failed:
        log.open()
    assert "hunter2" not in str(failed.value)
    log.close()
