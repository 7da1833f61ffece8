"""Three nodes on one topic behind Nginx: any node reads, any node writes, and none of them is
needed. Equal states (I4, I5), sessions at any node (I7), nothing acknowledged is lost (I1).
"""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from clusterlite.testing.cluster.kafka import KafkaCluster
from clusterlite.testing.cluster.nginx import Nginx
from tests.conftest import StartNginx
from tests.processes import Answer, Serve, alive, freeze, kill, request, wait_until

CLIENTS = 6
WRITES_AROUND_A_KILL = 60
PERSON = {"name": "Ann", "email": "ann@example.com"}


class Nodes:
    """Nodes on one topic, and Nginx before the first three of them."""

    def __init__(self, folder: Path, log: str, start_nginx: StartNginx) -> None:
        self.folder = folder
        self.log = log
        self.all = [Serve(folder / f"node-{number}", log) for number in (1, 2, 3)]
        for node in self.all:
            node.start(ready=False)
        for node in self.all:
            node.wait_ready()
        self.nginx: Nginx = start_nginx([node.port for node in self.all])

    def stop(self) -> None:
        for node in self.all:
            node.stop()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Through Nginx."""
        return request(self.nginx.port, method, path, body, headers)

    def said(self) -> str:
        return "\n".join(f"{node.data.name} {cluster(node)}" for node in self.all)

    def agreed(self, *more: Serve) -> int:
        """The position at which all nodes are, once they are at the same one, with equal hashes."""
        found: set[tuple[int, str]] = set()

        def meet() -> bool:
            nonlocal found
            asked = map(cluster, (*self.all, *more))
            found = {(status["position"], status["hash"]) for status in asked}
            return len({position for position, _ in found}) == 1

        wait_until(meet, self.said)
        assert len(found) == 1, f"one position, and different states: {self.said()}"
        return found.pop()[0]


def cluster(node: Serve) -> dict[str, Any]:
    found: dict[str, Any] = node.request("GET", "/-/cluster").json
    return {"position": -1, "hash": "", **found}


def rows(node: Serve) -> dict[str, dict[str, Any]]:
    """Every row of a node by key."""
    found: dict[str, dict[str, Any]] = {}
    path: str | None = "/users?_limit=1000"
    while path:
        answer = node.request("GET", path)
        assert answer.status == 200, answer
        found |= {row["id"]: row for row in answer.json}
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if link else None
    return found


@pytest.fixture(scope="module")
def nodes(
    kafka: KafkaCluster, start_nginx: StartNginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    log = f"kafka://{kafka.address}/cluster-{uuid.uuid4().hex[:12]}"
    started = Nodes(tmp_path_factory.mktemp("cluster"), log, start_nginx)
    yield started
    started.stop()


class Writers:
    """Clients that create rows through Nginx, each with a name of its own, and note the answers."""

    def __init__(self, nodes: Nodes) -> None:
        self.answers: dict[str, Answer] = {}
        self._nodes = nodes
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> dict[str, dict[str, Any]]:
        return {name: a.json for name, a in list(self.answers.items()) if a.status == 201}

    def wait_for(self, count: int) -> None:
        goal = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= goal, self._nodes.said)

    def _write(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{uuid.uuid4().hex} of {client}/{number}"
            self.answers[name] = self._nodes.ask("POST", "/users", {"name": name, "email": "x"})

    def check(self, found: dict[str, dict[str, Any]]) -> None:
        """What the clients were told, against what a node has."""
        mine = [row for row in found.values() if row["name"] in self.answers]
        by_name = {row["name"]: row for row in mine}
        assert len(by_name) == len(mine), "a write took effect twice"
        lost = [name for name, row in self.acknowledged.items() if by_name.get(name) != row]
        assert lost == [], "acknowledged, and not there"
        for name, answer in self.answers.items():
            assert answer.status in {201, 502, 503, 504}, answer
            if answer.status == 503:
                assert name not in by_name, f"said not to be written, and there: {answer}"
            elif answer.status == 504:
                event = self._nodes.ask("POST", f"{answer.headers['location']}/settle").json
                assert (event["status"] == "applied") == (name in by_name), (event, answer)


def test_nginx_sends_requests_to_every_node(nodes: Nodes) -> None:
    reached = {nodes.ask("GET", "/-/cluster").json["node"] for _ in range(9)}
    assert reached == {"node-1", "node-2", "node-3"}


def test_writes_through_nginx_are_at_every_node_with_the_same_state(nodes: Nodes) -> None:
    written = [nodes.ask("POST", "/users", PERSON) for _ in range(9)]
    assert {answer.status for answer in written} == {201}
    changed = nodes.ask("PUT", written[0].headers["location"], {**PERSON, "name": "Ben"})
    assert nodes.ask("DELETE", written[1].headers["location"]).status == 204

    last = max(int(answer.headers["clusterlite-token"].split(":")[1]) for answer in written)
    assert nodes.agreed() > last
    first, *others = (rows(node) for node in nodes.all)
    assert others == [first, first]
    assert first[changed.json["id"]] == changed.json
    assert written[1].json["id"] not in first
    etags = {
        node.request("GET", written[0].headers["location"]).headers["etag"] for node in nodes.all
    }
    assert etags == {changed.headers["etag"]}, "one version of a row, at every node"


@pytest.mark.parametrize("carrier", ["header", "cookie"])
def test_a_client_reads_its_own_write_at_a_node_that_is_behind(nodes: Nodes, carrier: str) -> None:
    nodes.agreed()
    first, behind, _ = nodes.all
    (frozen,) = behind.children()["node"]
    found: list[Answer] = []
    freeze(frozen)
    try:
        created = first.request("POST", "/users", PERSON)
        path = created.headers["location"]
        assert behind.request("GET", path).status == 404, "it is not behind: this tries nothing"
        session = (
            {"ClusterLite-Token": created.headers["clusterlite-token"]}
            if carrier == "header"
            else {"Cookie": created.headers["set-cookie"].split(";")[0]}
        )
        asking = threading.Thread(
            target=lambda: found.append(behind.request("GET", path, headers=session))
        )
        asking.start()
        asking.join(0.3)
        assert found == [], "answered before the write was there"
    finally:
        os.kill(frozen, signal.SIGCONT)
    asking.join()
    assert [answer.status for answer in found] == [200]
    assert found[0].json == created.json


def test_a_killed_node_process_loses_nothing_and_comes_back_equal(nodes: Nodes) -> None:
    victim = nodes.all[1]
    with Writers(nodes) as writers:
        writers.wait_for(WRITES_AROUND_A_KILL)
        (process,) = victim.children()["node"]
        kill(process)
        victim.wait_ready()
        writers.wait_for(WRITES_AROUND_A_KILL)
    nodes.agreed()
    for node in nodes.all:
        writers.check(rows(node))


def test_the_others_serve_while_a_node_is_gone_and_it_comes_back_equal(nodes: Nodes) -> None:
    victim = nodes.all[2]
    with Writers(nodes) as writers:
        writers.wait_for(WRITES_AROUND_A_KILL)
        children = [pid for pids in victim.children().values() for pid in pids]
        victim.kill()
        wait_until(lambda: not any(map(alive, children)))
        writers.wait_for(WRITES_AROUND_A_KILL)
        assert nodes.ask("GET", "/-/health/ready").status == 200
        victim.start()
        writers.wait_for(WRITES_AROUND_A_KILL)
    nodes.agreed()
    for node in nodes.all:
        writers.check(rows(node))


def test_a_node_that_starts_from_nothing_gets_the_same_state(nodes: Nodes) -> None:
    before = nodes.agreed()
    assert before > WRITES_AROUND_A_KILL
    with Serve(nodes.folder / "node-4", nodes.log) as fourth:
        assert nodes.agreed(fourth) >= before
        assert cluster(fourth)["cluster"] == cluster(nodes.all[0])["cluster"]
        assert rows(fourth) == rows(nodes.all[0])
        created = fourth.request("POST", "/users", PERSON)
        path, token = created.headers["location"], created.headers["clusterlite-token"]
        assert nodes.ask("GET", path, **{"ClusterLite-Token": token}).json == created.json
