"""Strong reads on Kafka, where each question is a record: none is stale, and few are paid."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterlite import Bounded, Node
from clusterlite.testing.cluster.kafka import KafkaCluster
from tests.nodes import User, user
from tests.processes import WAIT_S

READS = 200
CLIENTS = 20


@pytest.fixture
def nodes(kafka: KafkaCluster, topic: str, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    url = f"kafka://{kafka.address}/{topic}"
    with Node(tmp_path / "a", url, [User]) as first, Node(tmp_path / "b", url, [User]) as second:
        yield first, second


def test_a_strong_read_at_one_node_sees_each_write_of_the_other(nodes: tuple[Node, Node]) -> None:
    for number in range(20):
        writer, reader = nodes if number % 2 else nodes[::-1]
        made = writer.create(user(f"u{number}"))
        assert reader.get(User, made.id, consistency="strong") == made
        assert reader.get(User, made.id, consistency=Bounded(0)) == made


def test_strong_reads_that_wait_together_share_barriers_and_fresh_bounded_ones_cost_none(
    nodes: tuple[Node, Node],
) -> None:
    node, _ = nodes
    node.sync()
    before = node.log.bounds().end
    with ThreadPoolExecutor(CLIENTS) as threads:
        reads = [threads.submit(node.get, User, "x", consistency="strong") for _ in range(READS)]
        assert [read.result(WAIT_S) for read in reads] == [None] * READS
    barriers = node.log.bounds().end - before
    assert 1 <= barriers <= READS // 2, f"{barriers} barriers for {READS} reads"
    before = node.log.bounds().end
    for _ in range(READS):
        node.get(User, "x", consistency=Bounded(3_600))
    assert node.log.bounds().end == before
