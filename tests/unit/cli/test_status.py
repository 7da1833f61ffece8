"""`clusterlite status`: nodes that differ, that are named alike, and that do not answer."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from clusterlite.cli import status
from clusterlite.cli.against import NodePages
from clusterlite.errors import ClusterLiteError
from clusterlite.testing.cluster.kafka import free_ports
from tests.cli import Done, cli


def node(position: int, running: str, cluster: str = "c", name: str = "") -> dict[str, Any]:
    return {
        "state": "ready",
        "cluster": cluster,
        "position": position,
        "hash": running,
        **({"node": name} if name else {}),
    }


def asked(nodes: list[dict[str, Any]], patch: pytest.MonkeyPatch, *options: str) -> Done:
    """`status` of nodes at the addresses a, b, …"""
    urls = "abc"[: len(nodes)]
    answers = {f"http://{url}": answer for url, answer in zip(urls, nodes, strict=True)}
    patch.setattr(status, "ask", answers.__getitem__)
    return cli("status", *urls, *options)


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ([node(5, "aa"), node(5, "aa")], 0),
        ([node(5, "aa"), node(6, "bb")], 0),
        ([node(5, "aa"), node(5, "bb", "other")], 0),
        ([node(5, "aa"), node(5, "bb")], 1),
        ([node(5, "aa"), {**node(5, "aa"), "state": "lagging"}], 1),
    ],
)
def test_equal_positions_must_have_equal_hashes(
    nodes: list[dict[str, Any]], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = asked(nodes, monkeypatch)
    assert done.code == code
    differ = len({n["hash"] for n in nodes}) > 1 == code
    assert ("at position 5 differ: http://a, http://b" in done.out) == differ


def test_nodes_of_one_name_are_told_apart_by_their_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked([node(5, "aa", name="host"), node(5, "aa", name="host")], monkeypatch)
    assert "2 nodes are named host: the url tells them apart" in done.out
    assert "http://a" in done.out
    assert "http://b" in done.out
    assert "named" not in asked([node(5, "aa", name="x"), node(5, "aa", name="y")], monkeypatch).out


def test_a_node_that_differs_shows_in_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked([node(5, "aa"), node(5, "bb")], monkeypatch, "--json")
    assert [json.loads(line)["hash"] for line in done.out.splitlines()] == ["aa", "bb"]
    assert "at position 5 differ" in done.err
    assert done.code == 1


def test_where_nobody_listens_no_node_answers() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    done = cli("status", url)
    assert done.code == 1
    assert f"no node answers at {url}\n  Start one with clusterlite serve" in done.out
    assert "Errno" not in done.out


@pytest.mark.parametrize("setting", ["CLUSTERLITE_PORT", None])
def test_this_machines_node_is_asked_at_its_configured_port(
    setting: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.delenv("CLUSTERLITE_PORT", raising=False)
    if setting is not None:
        monkeypatch.setenv(setting, "9001")
    monkeypatch.setattr(status, "ask", lambda url: seen.append(url) or node(5, "aa"))
    assert cli("status").code == 0
    assert seen == [f"http://127.0.0.1:{9001 if setting else 8082}"]


class _Foreign(BaseHTTPRequestHandler):
    """A server that is no node: each path but one is another kind of it."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.send_response(404 if kind == "missing" else 200)
        self.end_headers()
        found = {"html": b"<p>", "list": b"[1]", "object": b"{}", "node": b'{"state": "ready"}'}
        self.wfile.write(found.get(kind, b"no"))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def foreign() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Foreign)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("kind", ["missing", "html", "list", "object"])
def test_what_is_no_node_is_called_so(kind: str, foreign: str) -> None:
    done = cli("status", f"{foreign}/{kind}")
    assert done.code == 1
    assert f"what answers at {foreign}/{kind} is no node" in done.out


@pytest.mark.parametrize("url", ["http://127.0.0.1:x", "[", "http://a b", "ftp://a"])
def test_an_address_that_is_none_ends_without_a_traceback(url: str) -> None:
    done = cli("status", url)
    assert done.code == 1
    assert "unreachable" in done.out


def test_no_proxy_of_the_environment_is_asked(
    foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports(1)[0]}")
    urllib.request.install_opener(None)  # type: ignore[arg-type]  # it was made without the proxy
    assert status.ask(f"{foreign}/node") == {"state": "ready"}
    with pytest.raises(ClusterLiteError, match="missing answered 404"):
        NodePages(f"{foreign}/missing").here()
