"""A running node while its Kafka is slow, hung, gone, or not the one that it was: reads go on, a
write that did not happen is refused at once, one that may have is unknown and settles, and the
node says under one name what is wrong and what to do: in its answers, in `/-/cluster`, in its log
output and in `clusterlite status` (I10 to I13).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from clusterlite.testing.cluster.kafka import KafkaBroker, KafkaCluster
from tests.conftest import need_kafka
from tests.http_node import check_problem, position
from tests.processes import Answer, Serve, wait_until

PERSON = {"name": "Ann", "email": "ann@example.com"}
FAST_S = 0.1
"""What the refusal of a write may take while no broker is there."""

SLOW_S = 0.5
WAIT_S = 40.0
BROKERS_CURE = "See that the brokers run, that --log names them"
SAFE = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}


@pytest.fixture(scope="module")
def absent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A Kafka of these tests' own that nobody has started yet."""
    need_kafka()
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka-node-faults"))
    yield cluster
    cluster.kill()


@pytest.fixture(scope="module")
def single(absent: KafkaCluster) -> KafkaCluster:
    """The same, started: one broker, which tests stop."""
    absent.start()
    return absent


@pytest.fixture(scope="module")
def admin(single: KafkaCluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": single.address})


@pytest.fixture(scope="module")
def node(single: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node with a row."""
    folder = tmp_path_factory.mktemp("node-faults") / "node"
    with Serve(folder, f"kafka://{single.address}/events") as serve:
        write(serve, 201)
        yield serve


def write(node: Serve, status: int, **headers: str) -> Answer:
    answer = node.request("POST", "/users", PERSON, headers)
    assert answer.status == status, answer
    return answer


def wait_writing(node: Serve) -> None:
    """Wait until it takes writes and has nothing to complain of.

    A connection that was in use while the broker did not answer may break once it does again:
    for the moment until the next one stands, writes are refused once more.
    """

    def writing() -> bool:
        taken = node.request("POST", "/users", PERSON).status == 201
        return taken and cluster(node)["reason"] is None

    wait_until(writing, node.said, WAIT_S)


def cluster(node: Serve) -> dict[str, Any]:
    """What the node says of itself; of one that does not answer yet nothing is known."""
    answer = node.request("GET", "/-/cluster")
    found: dict[str, Any] = answer.json if answer.status == 200 else {}
    return {"state": "", "reason": None, **found}


def wait_told(node: Serve, reason: str, *said: str) -> dict[str, str]:
    """Wait until the node gives that reason with these words, and return what it gives."""
    found: dict[str, Any] = {}

    def told() -> bool:
        nonlocal found
        found = cluster(node)["reason"] or {}
        return found.get("reason") == reason and all(words in str(found) for words in said)

    wait_until(told, lambda: f"{found}\n{node.said()}", WAIT_S)
    return found


def logged(node: Serve, event: str, words: str) -> list[str]:
    """Its lines of that event with these words."""
    lines = [json.loads(line) for line in node.said().splitlines() if line.startswith("{")]
    return [str(line) for line in lines if line["event"] == event and words in str(line)]


def check_told(node: Serve, state: str, reason: str, *said: str) -> None:
    """The same state, reason and cure wherever a person looks."""
    found = wait_told(node, reason, *said)
    assert cluster(node)["state"] == state
    ready = node.request("GET", "/-/health/ready")
    assert (ready.status, ready.json["reason"]["reason"]) == (503, reason)
    wait_until(
        lambda: any(reason in line for line in logged(node, state, found["cure"])), node.said
    )
    shown = subprocess.run(
        [sys.executable, "-m", "clusterlite", "status", node.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1, shown
    assert f"{reason}: " in shown.stdout
    assert found["cure"] in shown.stdout
    assert state in shown.stdout


def check_reads(node: Serve, path: str = "/users") -> None:
    begun = time.monotonic()
    answer = node.request("GET", path)
    assert answer.status == 200, answer
    assert answer.json
    assert time.monotonic() - begun < SLOW_S


def test_a_first_start_without_a_broker_says_what_it_waits_for_and_goes_on_with_it(
    absent: KafkaCluster, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    log = f"kafka://{absent.address}/first"
    node = Serve(tmp_path / "node", log).start(ready=False)
    try:
        check_told(node, "log_unreachable", "log_unreachable", absent.address, BROKERS_CURE)
        assert "Connection refused" in cluster(node)["reason"]["detail"]
        node.wait_said(log)
        assert write(node, 503).headers["retry-after"] == "1"
        assert node.request("GET", "/-/health/live").status == 200

        request.getfixturevalue("single")
        node.wait_ready()
        write(node, 201)
        check_reads(node)
    finally:
        node.stop()


def test_a_write_on_a_slow_kafka_is_answered_late_and_reads_do_not_wait_for_it(
    node: Serve, broker: KafkaBroker
) -> None:
    broker.pause()
    with ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        writing = pool.submit(write, node, 201)
        while time.monotonic() - begun < SLOW_S:
            check_reads(node)
            assert not writing.done()
        broker.resume()
        path = writing.result(WAIT_S).headers["location"]
    check_reads(node, path)


def test_a_write_on_a_hung_kafka_is_unknown_after_its_wait_and_settles_later(
    node: Serve, broker: KafkaBroker
) -> None:
    broker.pause()
    begun = time.monotonic()
    unknown = write(node, 504, Prefer="wait=1")
    assert 1.0 <= time.monotonic() - begun < 4.0
    problem = check_problem(unknown, 504, "outcome_unknown")
    assert unknown.headers["location"] == f"/-/events/{problem['event']}"
    assert "it may be in the log" in problem["detail"]
    check_reads(node)
    assert node.request("GET", unknown.headers["location"]).json["status"] == "unseen"
    check_told(node, "log_unreachable", "log_unreachable", "no answer in time", BROKERS_CURE)

    broker.resume()
    node.wait_ready()
    settle = unknown.headers["location"] + "/settle"
    wait_until(lambda: node.request("POST", settle).status == 200, node.said, WAIT_S)
    settled = node.request("POST", settle).json
    assert settled["status"] == "applied"
    check_reads(node, f"/users/{settled['changes'][0]['key']}")
    wait_writing(node)


def test_writes_without_a_broker_are_refused_within_100_ms_also_after_a_restart_and_come_back(
    node: Serve, broker: KafkaBroker
) -> None:
    before = position(node.request("GET", "/users"))
    broker.kill()
    wait_until(lambda: node.request("POST", "/users", PERSON).status == 503, node.said)
    took = []
    for _ in range(20):
        begun = time.monotonic()
        refused = write(node, 503)
        took.append(time.monotonic() - begun)
        assert refused.headers["retry-after"] == "1"
    assert statistics.median(took) < FAST_S, took
    problem = check_problem(refused, 503, "log_unreachable")
    assert "the write did not happen" in problem["detail"]
    assert BROKERS_CURE in problem["detail"]
    # What the client library sees first may be a partition without a leader.
    wait_until(lambda: "no broker can be reached" in write(node, 503).json["detail"], node.said)
    check_reads(node)
    check_told(node, "log_unreachable", "log_unreachable", BROKERS_CURE)

    node.stop()
    node.start(ready=False)
    check_told(node, "log_unreachable", "log_unreachable", "no broker can be reached", BROKERS_CURE)
    check_problem(write(node, 503), 503, "log_unreachable")
    check_reads(node)

    broker.start()
    broker.wait_started()
    wait_writing(node)
    assert position(node.request("GET", "/users")) > before
    node.wait_said('"recovered"')


def test_a_topic_with_three_partitions_is_refused_at_start_with_a_way_out(
    single: KafkaCluster, admin: AdminClient, tmp_path: Path
) -> None:
    create(admin, "three", partitions=3)
    refused = Serve(tmp_path / "node", f"kafka://{single.address}/three").start(ready=False)
    assert refused.process is not None
    assert refused.process.wait(WAIT_S) == 3
    (line,) = [
        line for line in refused.said().splitlines() if line.startswith("clusterlite: Kafka")
    ]
    assert line.startswith("clusterlite: Kafka topic three has 3 partitions; the log needs exactly")
    assert "create one with --partitions 1" in line
    assert "Traceback" not in refused.said()


def test_a_node_of_another_cluster_than_the_logs_reads_and_writes_nothing(
    single: KafkaCluster, node: Serve, tmp_path: Path
) -> None:
    log, known = f"kafka://{single.address}/events", cluster(node)["cluster"]
    other = Serve(tmp_path / "node", log, ("--cluster", "another")).start(ready=False)
    try:
        check_told(
            other, "halted", "wrong_log", f"the cluster {known}, not to another", "--cluster"
        )
        refused = check_problem(write(other, 503), 503, "wrong_log")
        assert "--cluster" in refused["detail"]
        check_reads(other)
    finally:
        other.stop()


def test_a_deleted_topic_stops_writes_and_the_rows_stay(
    single: KafkaCluster, admin: AdminClient, tmp_path: Path
) -> None:
    with Serve(tmp_path / "node", f"kafka://{single.address}/deleted") as node:
        write(node, 201)
        admin.delete_topics(["deleted"])["deleted"].result(WAIT_S)
        cure = "restore the brokers' data from a copy", "delete no data folder"
        check_told(
            node, "log_unreachable", "log_unreachable", "the brokers have no such topic", *cure
        )
        refused = check_problem(write(node, 503), 503, "log_unreachable")
        assert "the brokers have no such topic" in refused["detail"]
        check_reads(node)


def test_a_topic_made_again_under_its_name_halts_the_node_at_once_and_at_each_start(
    single: KafkaCluster, admin: AdminClient, tmp_path: Path
) -> None:
    with Serve(tmp_path / "node", f"kafka://{single.address}/again") as node:
        write(node, 201)
        admin.delete_topics(["again"])["again"].result(WAIT_S)
        wait_told(node, "log_unreachable", "no such topic")
        create(admin, "again")
        cure = "Point the node at its own log", "empty data folder"
        for _ in range(2):
            check_told(node, "halted", "wrong_log", *cure)
            check_problem(write(node, 503), 503, "wrong_log")
            check_reads(node)
            node.stop()
            node.start(ready=False)
        assert "log_rewound" not in node.said()


def create(admin: AdminClient, topic: str, partitions: int = 1) -> None:
    """Make a topic; a name that was deleted is free again a moment later."""

    def created() -> bool:
        new = NewTopic(topic, partitions, 1, config=SAFE)
        return admin.create_topics([new])[topic].exception(WAIT_S) is None

    wait_until(created)
