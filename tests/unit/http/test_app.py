"""The application of a worker that has no node process: it answers, and says what is missing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from clusterlite.core.registry import EntityRegistry
from clusterlite.http.app import App
from clusterlite.http.cors import Cors
from clusterlite.http.service import Service
from tests.support import User


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def service(tmp_path: Path) -> Service:
    registry = EntityRegistry()
    registry.register(User)
    return Service(registry, tmp_path / "node.sock", Cors("127.0.0.1"), node_id="n")


def ask(service: Service, method: str, path: str, body: bytes = b"") -> Answer:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }
    asyncio.run(App(service)(scope, receive, send))
    start, *rest = sent
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(m.get("body", b"") for m in rest))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("GET", "/users/x"),
        ("POST", "/users"),
        ("GET", "/-/events/x"),
        ("POST", "/-/events/x/settle"),
    ],
)
def test_without_a_node_process_it_is_not_serving_and_may_be_asked_again(
    service: Service, method: str, path: str
) -> None:
    answer = ask(service, method, path, b'{"name":"Ann","email":"x"}')
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert json.loads(answer.body)["code"] == "not_serving"


def test_without_a_node_process_it_lives_is_not_ready_and_says_why(service: Service) -> None:
    assert ask(service, "GET", "/-/health/live").status == 200
    ready = ask(service, "GET", "/-/health/ready")
    assert (ready.status, ready.headers["retry-after"]) == (503, "1")
    assert json.loads(ready.body)["reason"]["reason"] == "node_down"
    status = json.loads(ask(service, "GET", "/-/cluster").body)
    assert (status["state"], status["position"]) == ("node_down", -1)
    assert ask(service, "GET", "/-/openapi.json").status == 200
    assert ask(service, "GET", "/nope").status == 404


@pytest.mark.parametrize(
    ("error", "code"),
    [(apsw.IOError("disk I/O error"), "replica_io"), (apsw.CorruptError("x"), "replica_corrupt")],
)
def test_a_read_whose_file_fails_is_503_with_the_reason_and_a_write_is_in_doubt(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: apsw.Error, code: str
) -> None:
    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Service, "table", fails)
    read = ask(service, "GET", "/users")
    assert (read.status, json.loads(read.body)["code"]) == (503, code)
    assert "start the node again" in json.loads(read.body)["detail"]
    assert ask(service, "POST", "/users", b"{}").status == 500


@pytest.mark.parametrize("path", ["/users/x", "/-/openapi.json"])
def test_a_defect_is_answered_without_detail_and_logged_with_it(
    service: Service,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("SELECT secret FROM /srv/replica.db")

    monkeypatch.setattr("clusterlite.http.system.openapi", broken)
    monkeypatch.setattr(Service, "table", broken)
    answer = ask(service, "GET", path)
    assert answer.status == 500
    assert answer.headers["access-control-allow-origin"] == "*"
    document = json.loads(answer.body)
    assert (document["code"], document["title"]) == ("internal", "Internal Server Error")
    assert b"secret" not in answer.body
    (entry,) = caplog.messages
    assert "event='request_failed'" in entry
    assert f"path='{path}'" in entry
    assert "secret" in entry
