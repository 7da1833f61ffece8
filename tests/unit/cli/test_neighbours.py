"""Who is on the port, or in the folder: believed only where it can be true."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clusterlite.cli import neighbours
from clusterlite.cli.listening import bind
from clusterlite.cli.neighbours import leave_url, refuse_if_served, remove_url, status_of, url_of
from clusterlite.errors import ConfigError, FolderInUse
from clusterlite.replica.folder import DataFolder

STATUS = {"node": "n:1", "cluster": "c", "state": "ready", "position": 3, "pid": os.getpid()}


class Server(ThreadingHTTPServer):
    """Answers `/-/cluster` as it is told."""

    answer: Any = STATUS

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.server.answer
        self.send_response(200 if self.path == "/-/cluster" else 404)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Held by this process."""
    held = DataFolder(tmp_path)
    held.lock()
    yield tmp_path
    held.unlock()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("db.local", "http://db.local:1"),
    ],
)
def test_an_address_is_one_that_a_browser_here_can_open(host: str, url: str) -> None:
    assert url_of(host, 1) == url


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"\xff", b"[]", b"null", {"state": "ready"}, b"[" * 100_000]
)
def test_what_does_not_answer_as_a_node_is_none(server: Server, answer: Any) -> None:
    server.answer = answer
    assert status_of(server.url) is None


def test_a_folder_whose_node_answers_is_refused_with_its_page(server: Server, folder: Path) -> None:
    leave_url(folder, server.url)
    with pytest.raises(FolderInUse) as raised:
        refuse_if_served(folder)
    assert f"process {os.getpid()}" in str(raised.value)
    assert f"open {server.url}/-/ui/" in str(raised.value)
    assert "--data" in str(raised.value)


def test_an_address_that_a_killed_node_left_misleads_nobody(server: Server, folder: Path) -> None:
    refuse_if_served(folder)  # it left none
    leave_url(folder, server.url)
    server.answer = {**STATUS, "pid": 1}  # another folder's node has the port now
    refuse_if_served(folder)
    server.answer = {**STATUS, "pid": None}
    refuse_if_served(folder)
    leave_url(folder, "http://127.0.0.1:1")
    refuse_if_served(folder)
    (folder / "serve.url").write_bytes(b"\xff")
    refuse_if_served(folder)
    server.answer = STATUS
    leave_url(folder, server.url)
    remove_url(folder)
    refuse_if_served(folder)


def test_nobody_is_asked_about_a_folder_that_nobody_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(neighbours, "status_of", asked.append)
    leave_url(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "lock").write_text("1")
    refuse_if_served(tmp_path)
    assert asked == []


def test_a_copy_of_a_served_folder_is_free(server: Server, folder: Path, tmp_path: Path) -> None:
    leave_url(folder, server.url)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("lock", "serve.url"):
        (copy / name).write_bytes((folder / name).read_bytes())
    refuse_if_served(copy)


def test_a_node_that_ends_while_it_is_asked_leaves_its_port(server: Server, folder: Path) -> None:
    port = server.server_address[1]
    with pytest.raises(ConfigError, match="with this data folder"):
        bind("127.0.0.1", port, folder)
    server.server_close()
    bind("127.0.0.1", port, folder).close()


def test_a_port_for_root_alone_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("clusterlite.cli.listening._listen", denied)
    with pytest.raises(ConfigError) as raised:
        bind("127.0.0.1", 80, folder)
    assert str(raised.value) == (
        "cannot listen on 127.0.0.1:80: Permission denied; choose a port above 1023, or let the "
        "system allow this one"
    )
