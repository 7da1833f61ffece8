"""Writes: preconditions, preferences and idempotency keys."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.http_node import check_problem, position, user
from tests.processes import Answer, Serve, wait_until


@pytest.fixture
def key() -> str:
    """A row's id or an idempotency key that no other test has."""
    return f"k-{uuid.uuid4().hex[:12]}"


def end(node: Serve) -> int:
    """The position of the last record of the log."""
    return int(node.request("GET", "/-/cluster").json["position"])


# Preconditions.


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_if_match_holds_only_for_the_version_that_is_there(
    node: Serve, key: str, method: str
) -> None:
    path = f"/users/{key}"
    old = node.request("PUT", path, user("Ann")).headers["etag"]
    new = node.request("PUT", path, user("Ben")).headers["etag"]
    body = user("Cid") if method == "PUT" else None
    refused = node.request(method, path, body, {"If-Match": old})
    document = check_problem(refused, 412, "precondition_failed")
    assert refused.headers["etag"] == new
    assert f'"{document["version"]}"' == new
    assert node.request("GET", path).json == user("Ben", id=key)
    assert node.request(method, path, body, {"If-Match": new}).status in {200, 204}


def test_if_match_of_any_version_asks_for_a_row_that_is_there(node: Serve, key: str) -> None:
    path, any_version = f"/users/{key}", {"If-Match": "*"}
    absent = node.request("PUT", path, user(), any_version)
    check_problem(absent, 412, "precondition_failed")
    assert "etag" not in absent.headers
    check_problem(node.request("DELETE", path, None, any_version), 412, "precondition_failed")
    node.request("PUT", path, user())
    assert node.request("PUT", path, user("Ben"), any_version).status == 200
    assert node.request("DELETE", path, None, any_version).status == 204


def test_if_none_match_of_any_version_asks_for_an_absent_row(node: Serve, key: str) -> None:
    path, absent = f"/users/{key}", {"If-None-Match": "*"}
    assert node.request("PUT", path, user("Ann"), absent).status == 201
    check_problem(node.request("PUT", path, user("Ben"), absent), 412, "precondition_failed")
    posted = node.request("POST", "/users", user("Ben", id=key), absent)
    check_problem(posted, 412, "precondition_failed")
    assert node.request("GET", path).json["name"] == "Ann"


def test_a_precondition_of_an_array_holds_for_each_of_its_rows(node: Serve, key: str) -> None:
    absent = {"If-None-Match": "*"}
    rows = [user(id=f"{key}-1"), user(id=f"{key}-2")]
    assert node.request("POST", "/users", rows, absent).status == 201
    again = node.request("POST", "/users", [user(id=f"{key}-3"), rows[1]], absent)
    check_problem(again, 412, "precondition_failed")
    assert node.request("GET", f"/users/{key}-3").status == 404
    check_problem(
        node.request("POST", "/users", [user()], {"If-Match": "*"}), 412, "precondition_failed"
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "x"},
        {"If-Match": '"1", "2"'},
        {"If-Match": 'W/"1"'},
        {"If-Match": ""},
        {"If-None-Match": '"1"'},
        {"If-None-Match": "*", "If-Match": "*"},
    ],
)
def test_a_precondition_that_cannot_be_judged_is_refused(
    node: Serve, key: str, headers: dict[str, str]
) -> None:
    answer = node.request("PUT", f"/users/{key}", user(), headers)
    check_problem(answer, 400, "bad_precondition")
    assert node.request("GET", f"/users/{key}").status == 404


# Preferences.


def test_respond_async_answers_once_the_log_has_it(node: Serve, key: str) -> None:
    answer = node.request("PUT", f"/users/{key}", user(), {"Prefer": "respond-async"})
    assert (answer.status, answer.body) == (202, b"")
    assert answer.headers["preference-applied"] == "respond-async"
    event = answer.headers["clusterlite-event"]
    assert answer.headers["location"] == f"/-/events/{event}"
    token = {"ClusterLite-Token": answer.headers["clusterlite-token"]}
    status = node.request("GET", answer.headers["location"], headers=token).json
    assert (status["status"], status["position"]) == ("applied", position(answer))
    assert node.request("GET", f"/users/{key}", headers=token).json == user(id=key)


def test_return_minimal_leaves_the_body_out_and_nothing_else(node: Serve, key: str) -> None:
    minimal = {"Prefer": "return=minimal"}
    created = node.request("PUT", f"/users/{key}", user(), minimal)
    assert (created.status, created.body) == (201, b"")
    assert created.headers["location"] == f"/users/{key}"
    replaced = node.request("PUT", f"/users/{key}", user(), minimal)
    assert (replaced.status, replaced.body) == (204, b"")
    for answer in (created, replaced):
        assert answer.headers["etag"] == f'"{position(answer)}"'
        assert answer.headers["preference-applied"] == "return=minimal"


def test_return_representation_is_told_as_applied_with_the_row(node: Serve, key: str) -> None:
    whole = {"Prefer": "return=representation"}
    created = node.request("PUT", f"/users/{key}", user(), whole)
    assert (created.status, created.json) == (201, user(id=key))
    assert created.headers["preference-applied"] == "return=representation"


def test_a_wait_is_applied_and_one_of_zero_never_loses_the_event(node: Serve, key: str) -> None:
    patient = node.request("PUT", f"/users/{key}", user(), {"Prefer": "wait=5"})
    assert (patient.status, patient.headers["preference-applied"]) == (201, "wait=5")
    hasty = node.request("PUT", f"/users/{key}", user("Ben"), {"Prefer": "wait=0"})
    assert hasty.status in {200, 202, 504}, hasty
    status = f"/-/events/{hasty.headers['clusterlite-event']}"
    assert hasty.headers.get("location", status) == status
    wait_until(lambda: node.request("GET", status).json["status"] == "applied", node.said)
    assert node.request("GET", f"/users/{key}").json["name"] == "Ben"


def test_an_unknown_preference_is_passed_over(node: Serve) -> None:
    answer = node.request("POST", "/users", user(), {"Prefer": "handling=lenient, wait=soon"})
    assert answer.status == 201
    assert "preference-applied" not in answer.headers


# Idempotency keys.


def same(first: Answer, second: Answer) -> None:
    """The second is a replay of the first."""
    names = ("location", "etag", "clusterlite-token", "clusterlite-event")
    assert second.status == first.status
    assert [second.headers.get(name) for name in names] == [
        first.headers.get(name) for name in names
    ]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("body", [user("Ann"), [user("Ann"), user("Ben")]])
def test_a_key_sent_twice_has_one_effect_and_one_answer(
    node: Serve, key: str, body: object
) -> None:
    headers = {"Idempotency-Key": key}
    first = node.request("POST", "/users", body, headers)
    before = end(node)
    second = node.request("POST", "/users", body, headers)
    assert first.status == 201
    same(first, second)
    assert second.json == first.json
    assert end(node) == before, "the replay was written too"


def test_a_key_sent_by_many_at_once_has_one_effect(node: Serve, key: str) -> None:
    headers = {"Idempotency-Key": key}
    with ThreadPoolExecutor(8) as clients:
        asked = [
            clients.submit(node.request, "POST", "/users", user(email=key), headers)
            for _ in range(16)
        ]
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} == {201}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1
    rows = [row for row in node.request("GET", "/users").json if row["email"] == key]
    assert len(rows) == 1


def test_the_same_body_in_another_spelling_is_the_same_request(node: Serve, key: str) -> None:
    headers = {"Idempotency-Key": key}
    first = node.request("POST", "/users", b'{"name":"Ann","email":"x"}', headers)
    same(first, node.request("POST", "/users", b'{ "email": "x", "name": "\\u0041nn" }', headers))


@pytest.mark.parametrize(
    ("method", "path", "body", "more"),
    [
        ("POST", "/users", user("Ben"), {}),
        ("PUT", "/users/other", user("Ann"), {}),
        ("POST", "/users", [user("Ann")], {}),
        ("POST", "/users", user("Ann"), {"If-None-Match": "*"}),
        ("DELETE", "/users/other", None, {}),
    ],
)
def test_a_key_with_another_request_is_refused(
    node: Serve, key: str, method: str, path: str, body: object, more: dict[str, str]
) -> None:
    headers = {"Idempotency-Key": key}
    first = node.request("POST", "/users", user("Ann"), headers)
    answer = node.request(method, path, body, headers | more)
    document = check_problem(answer, 422, "key_reused")
    assert document["event"] == first.headers["clusterlite-event"]
    assert node.request("GET", first.headers["location"]).json["name"] == "Ann"
    assert node.request("GET", "/users/other").status == 404


def test_a_replay_whose_row_was_written_since_leaves_the_body_out(node: Serve, key: str) -> None:
    headers, path = {"Idempotency-Key": key}, f"/users/{key}"
    first = node.request("PUT", path, user("Ann"), headers)
    node.request("PUT", path, user("Ben"))
    second = node.request("PUT", path, user("Ann"), headers)
    same(first, second)
    assert second.body == b""
    assert second.headers["preference-applied"] == "return=minimal"
    assert node.request("GET", path).json["name"] == "Ben"


def test_a_removal_is_replayed(node: Serve, key: str) -> None:
    headers, path = {"Idempotency-Key": key}, f"/users/{key}"
    node.request("PUT", path, user())
    first = node.request("DELETE", path, None, headers)
    assert first.status == 204
    node.request("PUT", path, user())
    same(first, node.request("DELETE", path, None, headers))
    assert node.request("GET", path).status == 200, "the replay removed the new row"


def test_a_rejection_is_replayed_when_its_cause_is_gone(node: Serve, key: str) -> None:
    headers, path = {"Idempotency-Key": key}, f"/users/{key}"
    node.request("PUT", path, user())
    first = node.request("POST", "/users", user(id=key), headers)
    node.request("DELETE", path)
    second = node.request("POST", "/users", user(id=key), headers)
    assert check_problem(second, 409, "exists") == check_problem(first, 409, "exists")
    assert node.request("GET", path).status == 404
    same(first, second)


def test_what_was_refused_before_the_log_uses_up_no_key(node: Serve, key: str) -> None:
    headers = {"Idempotency-Key": key}
    check_problem(node.request("POST", "/users", user(""), headers), 422, "invalid")
    assert node.request("POST", "/users", user("Ann"), headers).status == 201


@pytest.mark.parametrize("bad", ["", "x" * 256])
def test_a_key_has_a_length(node: Serve, bad: str) -> None:
    answer = node.request("POST", "/users", user(), {"Idempotency-Key": bad})
    check_problem(answer, 400, "bad_key")
