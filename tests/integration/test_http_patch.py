"""PATCH over HTTP: preconditions, keys, problems, and concurrency over one node."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clusterlite.core import codec
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.keys import (
    attempt_event_id,
    fingerprint,
    keyed_event_id,
    try_fingerprint,
)
from clusterlite.log.open import make_log
from tests.http_node import check_problem
from tests.processes import Serve

ENTITIES = """
from typing import Any
from pydantic import model_validator
from clusterlite import Entity, Field


class Person(Entity, table="persons"):
    name: str = Field(min_length=1)
    nick: str | None = None
    notes: dict[str, Any] = {}
    a: int = 0
    b: int = 0


class Span(Entity, table="spans"):
    low: int
    high: int

    @model_validator(mode="after")
    def check(self):
        if self.low > self.high:
            raise ValueError("low is over high")
        return self
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    folder: Path = tmp_path_factory.mktemp("patch")
    (folder / "people.py").write_text(ENTITIES)
    with Serve(folder / "node", "", ("--entities", "people"), cwd=folder) as serve:
        yield serve


@pytest.fixture
def path(node: Serve) -> str:
    made = f"/persons/{uuid.uuid4().hex}"
    node.request("PUT", made, {"name": "Ann", "nick": "A", "notes": {"x": 1}})
    return made


@pytest.fixture
def span(node: Serve) -> str:
    made = f"/spans/{uuid.uuid4().hex}"
    node.request("PUT", made, {"low": 1, "high": 5})
    return made


def test_it_answers_with_the_whole_row_its_version_and_a_token(node: Serve, path: str) -> None:
    body = {"nick": None, "notes": {"x": None, "y": [1]}}
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = node.request("PATCH", path, body, headers)
    assert answer.status == 200
    assert answer.json == node.request("GET", path).json
    assert answer.json["notes"] == {"y": [1]}
    assert (answer.json["nick"], answer.json["name"]) == (None, "Ann")
    assert answer.headers["etag"] == node.request("GET", path).headers["etag"]
    assert "clusterlite-token" in answer.headers


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"name": ""}, "/name"), ({"name": None}, "/name"), ({"id": "other"}, "/id"), ([], "")],
)
def test_what_put_would_refuse_is_refused_at_the_same_place(
    node: Serve, path: str, body: Any, pointer: str
) -> None:
    document = check_problem(node.request("PATCH", path, body), 422, "invalid")
    assert document["errors"][0]["pointer"] == pointer


def test_an_absent_row_and_another_version_are_judged_at_apply(
    node: Serve, path: str, span: str
) -> None:
    for table, row, change in (("persons", path, {"a": 1}), ("spans", span, {"low": 2})):
        gone = node.request("PATCH", f"/{table}/nobody", change)
        assert "event" in check_problem(gone, 404, "not_found")
        gone = node.request("PATCH", f"/{table}/nobody", change, {"If-Match": "*"})
        check_problem(gone, 412, "precondition_failed")
        old = node.request("GET", row).headers["etag"]
        new = node.request("PATCH", row, change, {"If-Match": old}).headers["etag"]
        refused = node.request("PATCH", row, change, {"If-Match": old})
        check_problem(refused, 412, "precondition_failed")
        assert refused.headers["etag"] == new


def test_a_key_has_one_effect_and_another_body_under_it_is_refused(
    node: Serve, path: str, span: str
) -> None:
    for row, change, other in ((path, {"a": 1}, {"a": 2}), (span, {"low": 2}, {"low": 3})):
        key = {"Idempotency-Key": uuid.uuid4().hex}
        first = node.request("PATCH", row, change, key)
        again = node.request("PATCH", row, change, key)
        assert (first.status, again.status) == (200, 200)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["etag"] == first.headers["etag"]
        assert again.json == first.json
        check_problem(node.request("PATCH", row, other, key), 422, "key_reused")


def test_patches_of_different_fields_at_once_all_survive(node: Serve, path: str) -> None:
    changes: list[dict[str, Any]] = [
        {"a": 7},
        {"b": 8},
        *({"notes": {f"n{i}": i}} for i in range(20)),
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda change: node.request("PATCH", path, change), changes))
    assert {answer.status for answer in answers} == {200}
    row = node.request("GET", path).json
    assert (row["a"], row["b"]) == (7, 8)
    assert row["notes"] == {"x": 1, **{f"n{i}": i for i in range(20)}}


def test_a_validator_of_the_whole_is_never_passed_by_concurrent_patches(
    node: Serve, span: str
) -> None:
    changes = [{"low": 4}, {"high": 3}] * 10
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda change: node.request("PATCH", span, change), changes))
    assert {answer.status for answer in answers} <= {200, 409, 422}
    row = node.request("GET", span).json
    assert row["low"] <= row["high"]
    document = check_problem(node.request("PATCH", span, {"low": 99}), 422, "invalid")
    assert document["errors"] == [
        {"pointer": "", "code": "value_error", "message": "Value error, low is over high"}
    ]


def test_a_keyed_patch_that_lost_a_try_goes_on_under_the_next_id_and_has_one_effect(
    tmp_path: Path,
) -> None:
    (tmp_path / "people.py").write_text(ENTITIES)
    address = f"file:{tmp_path / 'log'}"
    with Serve(tmp_path / "node", address, ("--entities", "people"), cwd=tmp_path) as node:
        node.request("PUT", "/spans/s", {"low": 1, "high": 5})
        cluster = node.request("GET", "/-/cluster").json["cluster"]
        body, tried = {"low": 2}, 0
        log = make_log(address)
        log.open()
        for key, lost in (("some", 4), ("all", 5)):
            fp = fingerprint("PATCH", "/spans/s", [], {}, body)
            first = keyed_event_id(cluster, "", key)
            for number in range(lost):
                event_id = attempt_event_id(first, number) if number else first
                tried_fp = try_fingerprint(fp, "precondition_failed", number)
                stamp = Stamp(event_id, "2026-11-22T20:00:00Z", cluster, "n", 0, fp=tried_fp)
                record = codec.encode(
                    stamp, "PATCH", "spans", {"id": "s"}, schema=3, condition=Condition(0)
                )
                tried = log.append([record])[0].result(10)
            token = {"ClusterLite-Token": f"{cluster}:{tried}", "Idempotency-Key": key}
            node.request("GET", "/spans/s", None, token)
            first_answer = node.request("PATCH", "/spans/s", body, token)
            again = node.request("PATCH", "/spans/s", body, token)
            assert again.headers["idempotency-replayed"] == "true"
            if key == "all":
                check_problem(first_answer, 409, "contention")
                check_problem(again, 409, "contention")
            else:
                assert (first_answer.status, again.json) == (200, {"id": "s", "low": 2, "high": 5})
                last = attempt_event_id(first, 4)
                assert first_answer.headers["clusterlite-event"] == last
                assert again.headers["clusterlite-event"] == last
                assert again.headers["etag"] == first_answer.headers["etag"]
        log.close()


def test_a_keyed_patch_at_a_version_is_answered_by_the_try_that_was_applied(
    tmp_path: Path,
) -> None:
    """Its first try asked for a row that this node did not have yet: that is no verdict."""
    (tmp_path / "people.py").write_text(ENTITIES)
    address = f"file:{tmp_path / 'log'}"
    with Serve(tmp_path / "node", address, ("--entities", "people"), cwd=tmp_path) as node:
        version = int(node.request("PUT", "/spans/s", {"low": 1, "high": 5}).headers["etag"][1:-1])
        cluster = node.request("GET", "/-/cluster").json["cluster"]
        body, asked = {"low": 2}, Condition(version)
        ifs = {"if-match": f'"{version}"'}
        fp = try_fingerprint(fingerprint("PATCH", "/spans/s", [], ifs, body), "exists")
        first = keyed_event_id(cluster, "", "some")
        tries = [
            (first, "INSERT", {"id": "s", "low": 2, "high": 5}),
            (attempt_event_id(first, 1), "PATCH", {"id": "s", "low": 2}),
        ]
        log = make_log(address)
        log.open()
        for event_id, operation, data in tries:
            stamp = Stamp(event_id, "2026-11-22T20:00:00Z", cluster, "n", 0, fp=fp)
            record = codec.encode(stamp, operation, "spans", data, schema=3, condition=asked)
            end = log.append([record])[0].result(10)
        log.close()
        node.request("GET", "/spans/s", None, {"ClusterLite-Token": f"{cluster}:{end}"})
        again = node.request("PATCH", "/spans/s", body, {"Idempotency-Key": "some", **ifs})
        assert (again.status, again.json) == (200, {"id": "s", "low": 2, "high": 5})
        assert again.headers["etag"] == f'"{end}"'
        assert again.headers["idempotency-replayed"] == "true"
