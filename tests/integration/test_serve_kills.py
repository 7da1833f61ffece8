"""kill -9 of any process of a node, and an immediate restart: every acknowledged write is there
(I1), none is there twice (I3), and what the client was not told is settled (I11).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.processes import Serve, alive, kill, wait_until

WRITES_AROUND_A_KILL = 150


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with Serve(tmp_path / "node") as served:
        yield served


class Writers:
    """Clients that create rows, each with a value of its own, and note what they were told."""

    def __init__(self, serve: Serve, clients: int = 6) -> None:
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.tried: set[str] = set()
        self._serve = serve
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, count: int) -> None:
        goal = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= goal, self._serve.said)

    def _write(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{client}/{number}"
            self.tried.add(name)
            answer = self._serve.request("POST", "/users", {"name": name, "email": "x"})
            if answer.status == 201:
                self.acknowledged[name] = answer.json


def all_rows(serve: Serve) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    path: str | None = "/users?_limit=500"
    while path:
        answer = serve.request("GET", path)
        assert answer.status == 200, answer
        rows += answer.json
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if link else None
    return rows


def check(serve: Serve, writers: Writers) -> None:
    rows = all_rows(serve)
    by_name = {row["name"]: row for row in rows}
    assert len(by_name) == len(rows), "a write took effect twice"
    lost = {name for name, row in writers.acknowledged.items() if by_name.get(name) != row}
    assert not lost, f"acknowledged and lost: {sorted(lost)[:5]}"
    assert set(by_name) <= writers.tried, "a row that nobody wrote"


@pytest.mark.parametrize("role", ["node", "worker"])
def test_a_killed_child_is_started_again_and_nothing_is_lost(serve: Serve, role: str) -> None:
    with Writers(serve) as writers:
        for _ in range(3):
            writers.wait_for(WRITES_AROUND_A_KILL)
            (victim,) = serve.children()[role]
            kill(victim)
            serve.wait_ready()
            assert serve.children()[role] != [victim]
        writers.wait_for(WRITES_AROUND_A_KILL)
    check(serve, writers)


def test_a_killed_parent_takes_its_children_along_and_an_immediate_restart_has_it_all(
    serve: Serve,
) -> None:
    with Writers(serve) as writers:
        writers.wait_for(WRITES_AROUND_A_KILL)
        children = [pid for pids in serve.children().values() for pid in pids]
        serve.kill()
        serve.start()
        assert not any(map(alive, children))
        writers.wait_for(WRITES_AROUND_A_KILL)
    check(serve, writers)


def test_reads_go_on_while_the_node_process_is_down(serve: Serve) -> None:
    created = serve.request("POST", "/users", {"name": "Ann", "email": "x"})
    path = created.headers["location"]
    (node,) = serve.children()["node"]
    (worker,) = serve.children()["worker"]
    kill(node)
    assert serve.request("GET", path).json == created.json
    assert serve.children()["worker"] == [worker]
    serve.wait_ready()
    assert serve.request("POST", "/users", {"name": "Ben", "email": "x"}).status == 201


def test_ctrl_c_ends_it_in_order_and_says_what_is_saved(tmp_path: Path) -> None:
    serve = Serve(tmp_path / "node").start()
    assert serve.request("POST", "/users", {"name": "Ann", "email": "x"}).status == 201
    assert serve.stop() == 0
    stopped = json.loads(serve.said().splitlines()[-1])
    assert (stopped["event"], stopped["position"], stopped["tables"]) == ("stopped", 2, 1)
    assert (stopped["log"], stopped["data"]) == (f"file:{serve.data}/log", str(serve.data))
    assert "Traceback" not in serve.said()
    with serve:
        assert len(all_rows(serve)) == 1


def test_a_second_node_on_the_same_folder_is_refused_with_the_cure(serve: Serve) -> None:
    second = Serve(serve.data)
    second.output = serve.data.with_name("second.out")
    second.start(ready=False)
    assert second.process is not None
    assert second.process.wait(30) == 2
    (node,) = serve.children()["node"]
    assert second.said() == (
        f"clusterlite: the data folder {serve.data} belongs to a running node (process {node}): "
        f"open {serve.url}/-/ui/, or stop it; to run this node beside it give it a folder of its "
        "own with --data\n"
    )
    assert serve.request("GET", "/-/health/ready").status == 200
