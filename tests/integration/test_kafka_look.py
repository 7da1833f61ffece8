"""`clusterlite log tail` on a real Kafka: it reads, and makes nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from clusterlite.testing.cluster.kafka import KafkaCluster
from tests.cli import cli


@pytest.fixture
def admin(kafka: KafkaCluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.address})


@pytest.fixture
def made(kafka: KafkaCluster, admin: AdminClient) -> Callable[[int], str]:
    """Makes a topic as any program would, and says its name."""

    def make(partitions: int) -> str:
        name = f"look-{uuid.uuid4().hex}"
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
        return name

    return make


def test_it_shows_the_newest_records_whoever_wrote_them(
    kafka: KafkaCluster, made: Callable[[int], str]
) -> None:
    topic = made(1)
    producer = Producer({"bootstrap.servers": kafka.address, "enable.idempotence": True})
    for number in range(5):
        event = {"operation": "INSERT", "table_name": "x", "data": {"id": f"k{number}"}}
        producer.produce(topic, json.dumps(event).encode(), partition=0)
    producer.produce(topic, b"\xff", partition=0)
    producer.produce(topic, None, partition=0)
    assert producer.flush(30) == 0
    done = cli("log", "tail", "--log", f"kafka://{kafka.address}/{topic}", "-n", "3", "--json")
    assert (done.code, done.err) == (0, "")
    shown = [json.loads(line) for line in done.out.splitlines()]
    assert [record["position"] for record in shown] == [4, 5, 6]
    assert [record["kind"] for record in shown] == ["foreign", "unreadable", "unreadable"]
    assert shown[0]["key"] == "k4"
    assert shown[0]["time"].startswith("20")


def test_it_reads_over_the_marks_of_transactions(
    kafka: KafkaCluster, made: Callable[[int], str]
) -> None:
    """They take positions and are no records: also at the very end."""
    topic = made(1)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(30)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(topic, b"{}", partition=0)
        producer.commit_transaction(30)
    done = cli("log", "tail", "--log", f"kafka://{kafka.address}/{topic}", "--json")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line)["position"] for line in done.out.splitlines()] == [0, 2]


def test_an_absent_topic_is_told_and_not_made(kafka: KafkaCluster, admin: AdminClient) -> None:
    topic = f"look-{uuid.uuid4().hex}"
    done = cli("log", "tail", "--log", f"kafka://{kafka.address}/{topic}")
    assert done.code == 2
    assert f"there is no topic {topic} at {kafka.address}" in done.err
    assert topic not in admin.list_topics(timeout=30).topics


def test_a_topic_of_several_partitions_is_no_log(
    kafka: KafkaCluster, made: Callable[[int], str]
) -> None:
    topic = made(3)
    done = cli("log", "tail", "--log", f"kafka://{kafka.address}/{topic}")
    assert done.code == 2
    assert f"the topic {topic} has 3 partitions, so its records have no order" in done.err


def test_an_empty_topic_says_so(kafka: KafkaCluster, made: Callable[[int], str]) -> None:
    url = f"kafka://{kafka.address}/{made(1)}"
    done = cli("log", "tail", "--log", url)
    assert done == (0, "", f"clusterlite: the log {url} is empty\n")
