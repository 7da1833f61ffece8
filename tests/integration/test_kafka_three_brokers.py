"""The Kafka adapter, and a node, on three brokers: one lost is no loss, two lost is no write."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from clusterlite.errors import AppendUnknown, ConfigError, LogUnavailable
from clusterlite.log.kafka import KafkaLog
from clusterlite.testing.cluster.kafka import KafkaBroker, KafkaCluster
from tests.conftest import need_kafka
from tests.http_node import check_problem, user
from tests.processes import Answer, Serve, wait_until

WAIT_S = 60.0

eventually = partial(wait_until, timeout_s=WAIT_S)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    need_kafka()
    with KafkaCluster(tmp_path_factory.mktemp("kafka-three"), brokers=3) as cluster:
        yield cluster


@pytest.fixture
def admin(three: KafkaCluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": three.address})


def leader(three: KafkaCluster, admin: AdminClient, topic: str) -> KafkaBroker:
    partition = admin.list_topics(topic, timeout=10).topics[topic].partitions[0]
    return three.brokers[partition.leader - 1]


def in_sync(admin: AdminClient, topic: str) -> int:
    return len(admin.list_topics(topic, timeout=10).topics[topic].partitions[0].isrs)


def is_written(log: KafkaLog, value: bytes) -> bool:
    return log.append([value])[0].exception(WAIT_S) is None


def test_the_topic_survives_a_broker_and_refuses_writes_without_two(
    three: KafkaCluster, admin: AdminClient, topic: str, open_log
) -> None:
    log = open_log(three.address, topic, delivery_timeout_ms="4000")
    assert log.caveat is None
    assert [f.result(WAIT_S) for f in log.append([b"a", b"b"])] == [0, 1]

    first = leader(three, admin, topic)
    first.kill()
    eventually(lambda: is_written(log, b"with two"))

    second = leader(three, admin, topic)
    second.kill()
    # With one broker of three no write is acknowledged, whatever the way in which it fails.
    errors = {type(log.append([b"with one"])[0].exception(WAIT_S)) for _ in range(3)}
    assert errors <= {AppendUnknown, LogUnavailable}
    eventually(lambda: _refused_at_once(log))

    for broker in (first, second):
        broker.start()
    for broker in (first, second):
        broker.wait_started()
    eventually(lambda: is_written(log, b"with three"))
    eventually(lambda: in_sync(admin, topic) == 3)

    acknowledged = [b"a", b"b", b"with two", b"with three"]
    found = [r.value for r in _all(log) if r.value in acknowledged]
    assert list(dict.fromkeys(found)) == acknowledged


def test_a_replicated_topic_that_one_broker_may_acknowledge_is_refused(
    three: KafkaCluster, admin: AdminClient, topic: str
) -> None:
    from confluent_kafka.admin import NewTopic

    settings = {
        "retention.ms": "-1",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "1",
    }
    admin.create_topics([NewTopic(topic, 1, 3, config=settings)])[topic].result(WAIT_S)
    with pytest.raises(ConfigError, match=r"min\.insync\.replicas=2"):
        KafkaLog(three.address, topic, {}).open()


def test_a_node_writes_with_two_brokers_of_three_and_reads_only_with_one(
    three: KafkaCluster, admin: AdminClient, topic: str, tmp_path: Path
) -> None:
    # In place of 30 s, so that the refusal comes soon.
    log = f"kafka://{three.address}/{topic}?delivery.timeout.ms=3000"
    with Serve(tmp_path / "node", log) as node:
        path = node.request("POST", "/users", user()).headers["location"]
        leading = leader(three, admin, topic)
        first, second = (broker for broker in three.brokers if broker is not leading)
        try:
            first.pause()
            doubtful = _write_in_doubt(node, second)
            check_problem(doubtful, 504, "outcome_unknown")
            assert node.request("GET", path).status == 200

            eventually(lambda: _state(node) == "log_unreachable", node.said)
            assert node.request("GET", "/-/health/ready").status == 503
            # A question that a paused broker left open may be what the state tells so far: writes
            # are refused once the first one is given up.
            refused = _until_refused(node)
            problem = check_problem(refused, 503, "log_unreachable")
            assert "the last append failed: no acknowledgement in time" in problem["detail"]
            assert "that enough replicas are in sync" in problem["detail"]
            node.wait_said("that enough replicas are in sync")
            assert node.request("GET", path).status == 200
        finally:
            first.resume()
            second.resume()
        eventually(lambda: node.request("GET", "/-/health/ready").status == 200, node.said)
        assert node.request("POST", "/users", user()).status == 201
        event = node.request("POST", doubtful.headers["location"] + "/settle").json
        names = [row["name"] for row in node.request("GET", "/users").json]
        assert names.count("Ben") == (event["status"] == "applied"), event


def _until_refused(node: Serve) -> Answer:
    """The answer to the first write that is not in doubt."""
    answers: list[Answer] = []

    def refused() -> bool:
        answers.append(node.request("POST", "/users", user(), {"Prefer": "wait=1"}))
        return answers[-1].status != 504

    eventually(refused, node.said)
    return answers[-1]


def _write_in_doubt(node: Serve, broker: KafkaBroker) -> Answer:
    """Write while a broker is paused that is needed, and leave it paused.

    The report of an append from before it may come late, and shut the log: a write that is refused
    for that never happened, and is sent again once the log takes writes.
    """
    for _ in range(5):
        eventually(lambda: node.request("POST", "/users", user()).status == 201, node.said)
        broker.pause()
        answer = node.request("POST", "/users", user("Ben"), {"Prefer": "wait=1"})
        if answer.status != 503:
            break
        broker.resume()
    return answer


def _state(node: Serve) -> str:
    return str(node.request("GET", "/-/cluster").json["state"])


def _refused_at_once(log: KafkaLog) -> bool:
    future = log.append([b"with one"])[0]
    return future.done() and isinstance(future.exception(), LogUnavailable)


def _all(log: KafkaLog) -> list:
    records = []
    position, end = log.bounds()
    while position < end:
        batch = log.read(position, 1000, 1.0)
        records += batch.records
        position = batch.next
    return records
