"""Records written by others on a real topic, as a plain producer sends them: keys, headers, null
values, compression. Nodes follow live, are started again in between, and join later; one answers
over HTTP.
"""

from __future__ import annotations

import inspect
import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from clusterlite import Node
from clusterlite.core.names import is_key
from clusterlite.log.kafka import KafkaLog
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.verify import verify
from clusterlite.testing.cluster.kafka import KafkaCluster
from tests.foreign_events import Person, person, plain
from tests.foreign_records import CASES, DECLARED, ENTITIES, people
from tests.nodes import follows
from tests.processes import Answer, Serve, wait_until
from tests.support import replay

WAIT_S = 20.0
PIECE = 60
NODE_BYTES_MAX = 1_000_000
LARGE = plain("larger than a node writes", "INSERT", person("large", note="x" * NODE_BYTES_MAX))
RECORDS = [*CASES, LARGE]
SHOP = "\n\n".join(
    ["from clusterlite import Entity, Field\n", *(inspect.getsource(entity) for entity in ENTITIES)]
)


class Topic:
    """A topic of one partition and a plain producer of another program's, which compresses."""

    def __init__(self, address: str, **config: str) -> None:
        name = f"foreign-{uuid.uuid4().hex[:12]}"
        self.url = f"kafka://{address}/{name}"
        self._name = name
        admin = AdminClient({"bootstrap.servers": address})  # kept: its futures end with it
        settings = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1", **config}
        admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name].result(WAIT_S)
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "compression.type": "zstd",
                "message.max.bytes": 10_000_000,  # so that it is the broker that refuses
            }
        )

    def send(self, values: Sequence[bytes | None]) -> list[Message]:
        delivered: list[tuple[KafkaError | None, Message]] = []
        for value in values:
            self._producer.produce(
                self._name,
                value,
                key=b"a key",
                headers={"origin": b"elsewhere"},
                on_delivery=lambda error, message: delivered.append((error, message)),
            )
        assert self._producer.flush(WAIT_S) == 0
        for error, _ in delivered:
            if error is not None:
                raise RefusedError(error)
        return [message for _, message in delivered]


class RefusedError(Exception):
    """The broker did not take a record."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.code = error.code()


class Cluster(NamedTuple):
    """Nodes on one topic.

    Args:
        topic: theirs.
        positions: of `RECORDS`, in order.
        nodes: in this process.
        served: one that answers over HTTP.
    """

    topic: Topic
    positions: list[int]
    nodes: list[Node]
    served: Serve


@pytest.fixture(scope="module")
def cluster(kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("foreign")
    topic = Topic(kafka.address)

    def node(name: str) -> Node:
        return Node(folder / name, topic.url, ENTITIES, node_id=name)

    def send(cases: Sequence[Any]) -> list[int]:
        return [int(message.offset() or 0) for message in topic.send([c.value for c in cases])]

    with ExitStack() as opened:
        positions = send(RECORDS[:DECLARED])
        live = opened.enter_context(node("live"))
        for start in range(DECLARED, len(RECORDS), PIECE):
            positions += send(RECORDS[start : start + PIECE])
            with node("restarted") as restarted:
                follows(restarted, positions[-1])
        (folder / "shop.py").write_text(SHOP)
        nodes = [live, *(opened.enter_context(node(name)) for name in ("restarted", "late"))]
        served = Serve(folder / "served", topic.url, ("--entities", "shop"), cwd=folder)
        yield Cluster(topic, positions, nodes, opened.enter_context(served))


def settled(cluster: Cluster) -> dict[str, Any]:
    """The state that all of them come to stand in, once nobody writes."""
    statuses: list[dict[str, Any]] = []

    def equal() -> bool:
        statuses[:] = [node.status() for node in cluster.nodes]
        statuses.append(cluster.served.request("GET", "/-/cluster").json)
        return len({(found["position"], found["hash"]) for found in statuses}) == 1

    wait_until(equal, lambda: str(statuses))
    return statuses[0]


def event(cluster: Cluster, event_id: str) -> Answer:
    return cluster.served.request("GET", f"/-/events/{quote(event_id, safe='')}")


def test_every_node_stands_in_the_state_of_a_replica_that_applied_the_topic_alone(
    cluster: Cluster, kafka: KafkaCluster, tmp_path: Path
) -> None:
    settled(cluster)
    log = KafkaLog(kafka.address, cluster.topic.url.rpartition("/")[2], {})
    log.open()
    records = log.read(0, 1, WAIT_S).records
    while records[-1].position < log.bounds().end - 1:
        records += log.read(records[-1].position + 1, 1_000, WAIT_S).records
    log.close()
    alone = replay(tmp_path / "alone", records, range(len(records)))
    folders = [*(node.data for node in cluster.nodes), cluster.served.data]
    states = [verify(DataFolder(folder).replica) for folder in folders]
    assert states == [alone.verified()] * 4
    alone.close()


def test_every_node_tells_the_outcome_of_each_record(cluster: Cluster) -> None:
    assert len(cluster.positions) == len(RECORDS)
    for node in cluster.nodes:
        for position, case in zip(cluster.positions, RECORDS, strict=True):
            found = node.outcome(case.event_id(position))
            assert found is not None, (node.node_id, case.name)
            told = (found.position, found.code or found.verdict, found.field)
            if case.code == "duplicate":
                assert found.position < position, (node.node_id, case.name)
            else:
                assert told == (position, case.code, case.field), (node.node_id, case.name)


def test_over_http_it_is_told_too(cluster: Cluster) -> None:
    for position, case in zip(cluster.positions, RECORDS, strict=True):
        event_id = case.event_id(position)
        if not is_key(event_id) or "/" in event_id:
            assert event(cluster, event_id).status in {400, 404}, case.name
            continue
        answer = event(cluster, event_id)
        assert answer.status == 200, case.name
        assert answer.json["id"] == event_id
        if case.code == "duplicate":
            assert answer.json["position"] < position
            continue
        assert answer.json["position"] == position
        rejected = case.code != "applied"
        assert answer.json["status"] == ("rejected" if rejected else "applied"), case.name
        assert answer.json.get("code") == (case.code if rejected else None), case.name
        assert answer.json.get("field") == case.field, case.name


def test_only_what_was_applied_left_rows(cluster: Cluster) -> None:
    large = {"large": {"age": 18, **person("large", note="x" * NODE_BYTES_MAX)}}
    for row in cluster.served.request("GET", "/people").json:
        assert row == (people() | large)[row["id"]]
    listed = {row.id: row.model_dump() for row in cluster.nodes[-1].list(Person)}
    assert listed == people() | large
    by_key = cluster.served.request("GET", f"/people/{quote('_/ 😀', safe='')}")
    assert by_key.json == people()["_/ 😀"]
    assert cluster.served.request("GET", "/wild").status == 404


def test_what_the_topic_does_not_take_leaves_no_trace(cluster: Cluster) -> None:
    end = settled(cluster)["log"]["end"]
    with pytest.raises(RefusedError) as refused:
        cluster.topic.send([random.Random(1).randbytes(2_000_000)])
    assert refused.value.code == KafkaError.MSG_SIZE_TOO_LARGE
    row = {"name": "x" * NODE_BYTES_MAX, "email": "more"}
    assert cluster.served.request("POST", "/people", row).status == 413
    assert cluster.served.request("POST", "/people", row | {"name": "Eve"}).status == 201
    assert settled(cluster)["log"]["end"] == end + 1


def test_a_topic_that_stores_uncompressed_takes_no_record_that_is_larger_once_unpacked(
    kafka: KafkaCluster,
) -> None:
    topic = Topic(kafka.address, **{"compression.type": "uncompressed"})
    with pytest.raises(RefusedError) as refused:
        topic.send([b"x" * 5_000_000])
    assert refused.value.code == KafkaError.MSG_SIZE_TOO_LARGE
    assert len(topic.send([b"x" * 5_000])) == 1
