"""Errors over HTTP: one shape on every route, with what a client can do about it."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.http_node import check_problem, user
from tests.processes import Serve

MIB = 1024 * 1024


REFUSED: list[tuple[str, str, Any, dict[str, str], int, str]] = [
    ("GET", "/nope", None, {}, 404, "no_such_table"),
    ("POST", "/Users", user(), {}, 404, "no_such_table"),
    ("GET", "/sqlite_master", None, {}, 404, "no_such_table"),
    ("GET", "/_cl_state", None, {}, 404, "no_such_table"),
    ("GET", "/users/a/b", None, {}, 404, "no_such_route"),
    ("GET", "/users/-/nope", None, {}, 404, "no_such_route"),
    ("GET", "/users/x/-/nope", None, {}, 404, "no_such_route"),
    ("GET", "/-", None, {}, 404, "no_such_route"),
    ("GET", "/-/nope", None, {}, 404, "no_such_route"),
    ("GET", "/-/ui/../../config.py", None, {}, 404, "no_such_route"),
    ("GET", "/-/ui/nope.js", None, {}, 404, "no_such_route"),
    ("GET", "//", None, {}, 404, "no_such_route"),
    ("GET", "/users/absent", None, {}, 404, "not_found"),
    ("GET", "/users/a%00b", None, {}, 404, "not_found"),
    ("DELETE", "/users/absent", None, {}, 404, "not_found"),
    ("GET", "/users/%FF", None, {}, 400, "bad_path"),
    ("GET", "/%FF", None, {}, 400, "bad_path"),
    ("GET", "/users?%FF", None, {}, 400, "bad_query"),
    ("GET", "/users?age=1", None, {}, 400, "unknown_parameter"),
    ("GET", "/users?_limit=0", None, {}, 400, "bad_limit"),
    ("GET", "/users?_cursor=x", None, {}, 400, "bad_cursor"),
    ("GET", "/users", None, {"ClusterLite-Token": "x"}, 400, "bad_token"),
    ("GET", "/users", None, {"ClusterLite-Token": "x:1"}, 409, "foreign_token"),
    ("GET", "/-/events/_x", None, {}, 400, "bad_event_id"),
    ("POST", "/-/events/_x/settle", None, {}, 400, "bad_event_id"),
    ("POST", "/-/events/@8/settle", None, {}, 400, "bad_event_id"),
    ("POST", "/users", user(), {"Idempotency-Key": ""}, 400, "bad_key"),
    ("PUT", "/users/x", user(), {"If-Match": "x"}, 400, "bad_precondition"),
    ("PUT", "/users/absent", user(), {"If-Match": "*"}, 412, "precondition_failed"),
    ("POST", "/users", user(""), {}, 422, "invalid"),
    ("PUT", "/users/x", {}, {}, 422, "invalid"),
    ("POST", "/users", user(), {"Origin": "null"}, 403, "foreign_origin"),
    ("POST", "/users", user(), {"Host": "evil.example"}, 403, "foreign_host"),
    ("POST", "/users", b"{}", {"Content-Type": "text/plain"}, 415, "content_type"),
    ("POST", "/users", b" " * (MIB + 1), {}, 413, "too_large"),
    ("POST", "/users", user(email="x" * (MIB - 100)), {}, 413, "record_too_large"),
    ("POST", "/users", b"{", {}, 400, "malformed"),
    ("PUT", "/users", user(), {}, 405, "method_not_allowed"),
    ("DELETE", "/-/cluster", None, {}, 405, "method_not_allowed"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    REFUSED,
    ids=[f"{m}-{p}-{code}" for m, p, _, _, _, code in REFUSED],
)
def test_every_error_is_one_problem_document(
    node: Serve,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = node.request(method, path, body, headers)
    check_problem(answer, status, code)
    assert str(node.data.parent) not in answer.body.decode()
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("path", "possible"),
    [
        ("/users", {"GET", "HEAD", "POST"}),
        ("/users/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("/users/-/schema", {"GET", "HEAD"}),
        ("/", {"GET", "HEAD"}),
        ("/-/cluster", {"GET", "HEAD"}),
        ("/-/health/live", {"GET", "HEAD"}),
        ("/-/health/ready", {"GET", "HEAD"}),
        ("/-/openapi.json", {"GET", "HEAD"}),
        ("/-/events/x", {"GET", "HEAD"}),
        ("/-/events/x/settle", {"POST"}),
    ],
)
def test_a_method_that_is_not_possible_is_refused_with_those_that_are(
    node: Serve, path: str, possible: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "TRACE", "SEARCH"} - possible:
        answer = node.request(method, path)
        check_problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == possible, method


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"name":',
        b"{name: 1}",
        b"\xff",
        b'\xef\xbb\xbf{"name":"a","email":"b"}',
        b'{"name":"a","email":"b"} x',
        b'{"name":"a","name":"b","email":"c"}',
        b'{"name":"a","\\u006eame":"b","email":"c"}',
        b'{"name":NaN,"email":"b"}',
        b'{"name":"\\ud800","email":"b"}',
        b'{"name":"a","email":"b","x":9223372036854775808}',
        b'{"name":"a","email":"b","x":1e999}',
        b'{"name":"a","email":"b","x":' + b"[" * 64 + b"]" * 64 + b"}",
    ],
)
def test_what_is_no_strict_json_is_malformed_for_object_and_array(node: Serve, body: bytes) -> None:
    for sent in (body, b"[" + body + b",{}]"):
        document = check_problem(node.request("POST", "/users", sent), 400, "malformed")
        assert [error["code"] for error in document["errors"]] == ["malformed"]


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonx"],
)
def test_another_content_type_is_refused_with_the_words_for_curl(node: Serve, kind: str) -> None:
    """A form or plain text is what a foreign page can send without being asked first."""
    for method, path in (("POST", "/users"), ("PUT", "/users/x")):
        answer = node.request(method, path, b"{}", {"Content-Type": kind})
        document = check_problem(answer, 415, "content_type")
        assert f"{path} -H 'Content-Type: application/json'" in document["detail"]
        assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"]
)
def test_json_by_any_of_its_names_is_taken(node: Serve, kind: str) -> None:
    answer = node.request("POST", "/users", user(), {"Content-Type": kind})
    assert answer.status == 201


def test_a_body_in_chunks_is_taken_up_to_the_limit(node: Serve) -> None:
    """Its length is not told beforehand: the limit holds while it arrives."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    headers = {"Content-Type": "application/json"}
    try:
        pieces = iter([b'{"name":"Ann",', b'"email":"x"}'])
        connection.request("POST", "/users", pieces, headers, encode_chunked=True)
        assert connection.getresponse().status == 201
    finally:
        connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    try:
        spaces = iter([b" " * (MIB // 2)] * 2 + [b" "])
        connection.request("POST", "/users", spaces, headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_a_row_close_to_the_logs_limit_is_written_and_read_back(node: Serve) -> None:
    big = user(email="é" * 400_000)
    created = node.request("POST", "/users", json.dumps(big, ensure_ascii=False).encode())
    assert created.status == 201
    assert node.request("GET", created.headers["location"]).json["email"] == big["email"]
