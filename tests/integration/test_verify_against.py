"""Two replicas compared, and a wrong one repaired: `clusterlite verify --against`, `repair`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import apsw
import pytest

from clusterlite import Node
from clusterlite.cli import against
from clusterlite.core import codec
from clusterlite.core.event import Stamp
from clusterlite.core.hashing import MARK_EVERY
from clusterlite.log.file import FileLog
from clusterlite.node.ids import timestamp
from tests.cli import cli
from tests.http_node import check_problem, http_node, make_node, user
from tests.nodes import put
from tests.processes import Serve, wait_until

ROWS = 30


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node with some rows."""
    with http_node(tmp_path_factory.mktemp("verify")) as serve:
        rows = [user(f"name {n}", id=f"u-{n:02}") for n in range(ROWS)]
        assert serve.request("POST", "/users", rows).status == 201
        yield serve


@pytest.fixture
def copy(node: Serve, tmp_path: Path) -> Path:
    """Of the node's replica, to change."""
    path = tmp_path / "replica-1.db"
    assert cli("copy", node.data, path, "--with-bookkeeping").code == 0
    return path


def change(path: Path, sql: str) -> None:
    with apsw.Connection(str(path)) as connection:
        connection.execute(sql)
    connection.close()


def test_equal_replicas_are_said_to_be_equal(node: Serve, copy: Path) -> None:
    for side in (str(copy), str(node.data), node.url):
        done = cli("verify", side, "--against", node.url)
        assert (done.code, done.err) == (0, ""), done
        assert f"users: {ROWS} compared, 0 differ\n" in done.out
        assert done.out.splitlines()[-1] == f"equal: {side} and {node.url} hold the same"


def test_rows_that_differ_are_named_and_counted(node: Serve, copy: Path) -> None:
    change(copy, "UPDATE users SET name = 'other' WHERE id = 'u-03'")
    change(copy, "DELETE FROM users WHERE id = 'u-04'")
    done = cli("verify", copy, "--against", node.url)
    assert done.code == 1, done
    assert f"users: {ROWS} compared, 2 differ\n" in done.out
    assert "  row users/u-03: version 4, two contents\n" in done.out
    assert "  row users/u-04: absent here, version 4 there\n" in done.out
    assert "a file was changed beside the log" in done.out
    assert done.out.splitlines()[-1].startswith(f"differ: {copy} and {node.url} are not equal")
    found = json.loads(cli("verify", copy, "--against", node.url, "--json").out)
    assert (found["verdict"], found["differing"], found["first"]) == ("differ", 2, None)
    assert found["differences"][0]["key"] == "u-03"


def test_a_side_that_stays_behind_is_told(
    node: Serve, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(against, "STILL_S", 0.1)
    assert node.request("PUT", "/users/new", user("new")).status == 201
    done = cli("verify", copy, "--against", node.url)
    assert node.request("DELETE", "/users/new").status == 204
    assert done.code == 2, done
    assert "they stand at different positions: " in done.out
    assert f"users: {ROWS} compared, 0 differ, 1 open\n" in done.out
    assert f"cannot say: nothing differs so far, 1 open: {copy} has not come as far" in done.out


def test_who_cannot_be_compared_is_told(node: Serve, copy: Path) -> None:
    change(copy, "UPDATE _cl_state SET cluster = 'c-other'")
    done = cli("verify", copy, "--against", node.url)
    assert (done.code, "is of the cluster c-other" in done.err) == (2, True)
    done = cli("verify", node.data, "--against", "http://127.0.0.1:1")
    assert (done.code, "http://127.0.0.1:1 cannot be asked: " in done.err) == (2, True)
    done = cli("verify", node.url)
    assert (done.code, "say with --against" in done.err) == (2, True)


class Liar:
    """What answers every request with one body."""

    def __init__(self, body: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> str:
        return self.url

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize(
    "page",
    [
        {"items": [["a", 1, "h"]], "next": "a"},
        {"items": [["b", 1, "h"], ["a", 1, "h"]], "next": None},
        {"items": [["b", 1, "h"]], "next": 7},
        {"items": [], "next": ""},
        {"items": [["b", "one", "h"]], "next": None},
        {},
    ],
)
def test_a_node_that_gives_pages_without_end_is_not_followed(page: dict[str, Any]) -> None:
    body = {"position": 9, "schema": 1, **page}
    with (
        Liar(json.dumps(body).encode()) as url,
        pytest.raises(against.ClusterLiteError, match=r"out of order|did not answer as a node"),
    ):
        against.NodePages(url).rows("users", "", 10)


def test_the_routes_are_bounded_and_say_what_is_wrong(node: Serve) -> None:
    page = node.request("GET", "/-/replica/rows/users?_limit=2").json
    assert [item[0] for item in page["items"]] == ["u-00", "u-01"]
    following = node.request("GET", f"/-/replica/rows/users?_from={page['next']}").json
    assert (following["items"][0][0], following["next"]) == ("u-02", None)
    for path, code in (
        ("rows/users?_limit=0", "bad_limit"),
        ("rows/users?_limit=2001", "bad_limit"),
        ("outcomes?_from=-1", "bad_start"),
        (f"outcomes?_from={10**19}", "bad_start"),
        ("marks?_upto=x", "bad_start"),
        ("rows/users?_at=3", "unknown_parameter"),
    ):
        check_problem(node.request("GET", f"/-/replica/{path}"), 400, code)
    check_problem(node.request("GET", "/-/replica/rows/nothing"), 404, "no_such_table")


def checkpoint(node: Serve, mark: int) -> None:
    """Fill the log up to a mark, and say what the node has there, as it would in a minute."""
    log = FileLog(node.data / "log")
    log.open()
    try:
        position = node.request("GET", "/-/cluster").json["position"]
        put(log, *[b"{}"] * (mark - position))
        wait_until(lambda: node.request("GET", "/-/cluster").json["position"] >= mark)
        here = node.request("GET", "/-/replica").json
        ((found, digest),) = node.request("GET", f"/-/replica/marks?_upto={mark}&_limit=1").json[
            "marks"
        ]
        said = {"position": found, "hash": digest, "node": here["node"], "incarnation": "i"}
        stamp = Stamp("checkpoint-1", timestamp(), here["cluster"], here["node"], here["position"])
        put(log, codec.encode(stamp, "CHECKPOINT", "", said))
    finally:
        log.close()


def test_a_wrong_replica_halts_is_told_and_is_repaired(node: Serve, tmp_path: Path) -> None:
    url = f"file:{node.data}/log"
    bad = make_node(tmp_path, log=url)
    try:
        with Node(bad.data, url):
            pass
        change(bad.data / "replica-1.db", "UPDATE users SET email = 'flipped' WHERE id = 'u-07'")
        bad.start()
        patched = node.request("PATCH", "/users/u-07", {"name": "Ann"}).json
        position = int(node.request("GET", "/users/u-07").headers["etag"].strip('"'))
        assert patched["name"] == "Ann"
        checkpoint(node, MARK_EVERY)
        wait_until(lambda: bad.request("GET", "/-/cluster").json["state"] == "halted", bad.said)
        reason = bad.request("GET", "/-/cluster").json["reason"]
        assert reason["reason"] == "diverged"
        assert f"first position known to differ is {position}, " in reason["detail"]
        assert "what differs: row users/u-07" in reason["detail"]
        assert f"clusterlite repair {bad.data}" in reason["cure"]
        for side in (str(bad.data), bad.url):
            done = cli("verify", side, "--against", node.url)
            assert done.code == 1, done
            assert f"first position known to differ: {position}\n" in done.out
            assert f"row users/u-07: version {position}, two contents\n" in done.out
        assert "belongs to a running node" in cli("repair", bad.data, "--log", url, "--yes").err
        bad.stop()
        assert cli("repair", bad.data, "--log", url, "--yes").code == 0
        bad.start()
        done = cli("verify", bad.url, "--against", node.url)
        assert done.code == 0, done
        assert bad.request("GET", "/users/u-07").json == patched
    finally:
        bad.stop()
