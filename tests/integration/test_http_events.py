"""What became of an event, and tokens: reading one's own writes, at any node."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from clusterlite.core.keys import keyed_event_id
from tests.http_node import check_problem, http_node, position, user
from tests.processes import WAIT_S, Serve, freeze


@pytest.fixture(scope="module")
def other(node: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A second node on the same log."""
    with http_node(tmp_path_factory.mktemp("other"), log=f"file:{node.data / 'log'}") as serve:
        yield serve


@pytest.fixture
def key() -> str:
    """A row's id or an idempotency key that no other test has."""
    return f"k-{uuid.uuid4().hex[:12]}"


def cluster(node: Serve) -> str:
    return str(node.request("GET", "/-/cluster").json["cluster"])


def end(node: Serve) -> int:
    """The position of the last record of the log."""
    return int(node.request("GET", "/-/cluster").json["position"])


# What became of an event.


def test_the_status_of_an_applied_event_names_its_changes(node: Serve, key: str) -> None:
    written = node.request("POST", "/users", [user(id=f"{key}-1"), user(id=f"{key}-2")])
    event = written.headers["clusterlite-event"]
    answer = node.request("GET", f"/-/events/{event}")
    change = {"operation": "INSERT", "table": "users", "created": True}
    assert answer.json == {
        "id": event,
        "status": "applied",
        "position": position(written),
        "changes": [{**change, "key": f"{key}-1"}, {**change, "key": f"{key}-2"}],
    }
    assert position(answer) >= position(written)


def test_the_status_of_a_rejected_event_names_the_reason(node: Serve, key: str) -> None:
    version = position(node.request("PUT", f"/users/{key}", user()))
    rejected = node.request("POST", "/users", user(id=key))
    event = rejected.headers["clusterlite-event"]
    assert rejected.json["event"] == event
    status = node.request("GET", f"/-/events/{event}").json
    assert (status["status"], status["code"]) == ("rejected", "exists")
    assert (status["position"], status["version"]) == (position(rejected), version)


def test_an_event_that_nobody_saw_is_unseen_up_to_a_position(node: Serve) -> None:
    event = str(uuid.uuid4())
    answer = node.request("GET", f"/-/events/{event}")
    assert answer.json == {"id": event, "status": "unseen", "looked_up_to": end(node)}


def test_settling_what_was_applied_gives_its_outcome_and_changes_nothing(
    node: Serve, key: str
) -> None:
    written = node.request("PUT", f"/users/{key}", user())
    event = written.headers["clusterlite-event"]
    settled = node.request("POST", f"/-/events/{event}/settle")
    assert settled.json["status"] == "applied"
    assert settled.json["position"] == position(written)
    assert node.request("GET", f"/users/{key}").headers["etag"] == written.headers["etag"]


def test_an_unseen_write_that_was_settled_never_happens(node: Serve, key: str) -> None:
    """A client that lost the answer computes the event's id from its key, as any node does."""
    event = keyed_event_id(cluster(node), "", key)
    assert node.request("GET", f"/-/events/{event}").json["status"] == "unseen"
    settled = node.request("POST", f"/-/events/{event}/settle")
    assert (settled.status, settled.json["status"]) == (200, "never")
    late = node.request("PUT", f"/users/{key}", user(), {"Idempotency-Key": key})
    document = check_problem(late, 409, "never")
    assert document["event"] == event
    assert node.request("GET", f"/users/{key}").status == 404
    assert node.request("GET", f"/-/events/{event}").json["status"] == "never"
    assert node.request("POST", f"/-/events/{event}/settle").json == settled.json
    assert node.request("PUT", f"/users/{key}", user()).status == 201, "only the key is closed"


# Tokens.


@pytest.mark.parametrize("cookie", [False, True])
def test_a_read_with_a_token_waits_until_the_replica_is_there(
    node: Serve, other: Serve, key: str, cookie: bool
) -> None:
    (behind,) = other.children()["node"]
    freeze(behind)
    try:
        written = node.request("PUT", f"/users/{key}", user())
        token = written.headers["clusterlite-token"]
        headers = {"Cookie": f"a=b; clusterlite_token={token}"} if cookie else {}
        headers = headers or {"ClusterLite-Token": token}
        with ThreadPoolExecutor(2) as clients:
            paths = [f"/users/{key}", "/users"]
            reads = [clients.submit(other.request, "GET", path, None, headers) for path in paths]
            assert not wait(reads, 0.3).done, "it was answered from an older state"
            os.kill(behind, signal.SIGCONT)
            one, many = (read.result(WAIT_S) for read in reads)
    finally:
        os.kill(behind, signal.SIGCONT)
    assert one.json == user(id=key)
    assert one.json in many.json
    assert min(position(one), position(many)) >= position(written)


@pytest.mark.parametrize("path", ["/users", "/users/x", "/-/events/x"])
def test_a_token_from_beyond_the_log_is_a_conflict(node: Serve, path: str) -> None:
    token = {"ClusterLite-Token": f"{cluster(node)}:{end(node) + 1000}"}
    check_problem(node.request("GET", path, headers=token), 409, "token_ahead")


@pytest.mark.parametrize("path", ["/users", "/users/x", "/-/events/x"])
def test_a_token_of_another_cluster_is_a_conflict_and_its_cookie_is_cleared(
    node: Serve, path: str
) -> None:
    by_header = node.request("GET", path, headers={"ClusterLite-Token": "other:1"})
    check_problem(by_header, 409, "foreign_token")
    assert "set-cookie" not in by_header.headers
    by_cookie = node.request("GET", path, headers={"Cookie": "clusterlite_token=other:1"})
    check_problem(by_cookie, 409, "foreign_token")
    assert by_cookie.headers["set-cookie"] == "clusterlite_token=; Path=/; Max-Age=0"


def test_a_header_that_is_no_token_is_refused_and_such_a_cookie_is_passed_over(
    node: Serve,
) -> None:
    answer = node.request("GET", "/users", headers={"ClusterLite-Token": "yesterday"})
    check_problem(answer, 400, "bad_token")
    cookie = {"Cookie": "clusterlite_token=yesterday"}
    assert node.request("GET", "/users", headers=cookie).status == 200


# Two nodes.


def test_a_write_at_one_node_is_read_with_its_token_at_the_other(
    node: Serve, other: Serve, key: str
) -> None:
    for number in range(20):
        writer, reader = (node, other) if number % 2 else (other, node)
        written = writer.request("PUT", f"/users/{key}", user(f"Ann {number}"))
        token = {"ClusterLite-Token": written.headers["clusterlite-token"]}
        found = reader.request("GET", f"/users/{key}", headers=token)
        assert found.json == user(f"Ann {number}", id=key)
        assert found.headers["etag"] == written.headers["etag"]
        status = f"/-/events/{written.headers['clusterlite-event']}"
        assert reader.request("GET", status, headers=token).json["status"] == "applied"


@pytest.mark.parametrize("taken", [False, True])
def test_a_key_sent_to_both_nodes_has_one_effect_and_one_answer(
    node: Serve, other: Serve, key: str, taken: bool
) -> None:
    headers = {"Idempotency-Key": key}
    if taken:
        node.request("PUT", f"/users/{key}", user())
    first = node.request("POST", "/users", user("Ben", id=key), headers)
    token = {"ClusterLite-Token": first.headers["clusterlite-token"]}
    other.request("GET", "/users", headers=token)
    second = other.request("POST", "/users", user("Ben", id=key), headers)
    assert first.status == (409 if taken else 201)
    assert (second.status, second.json) == (first.status, first.json)
    assert second.headers["idempotency-replayed"] == "true"
    assert position(second) == position(first)


def test_a_version_of_one_node_is_a_precondition_at_the_other(
    node: Serve, other: Serve, key: str
) -> None:
    old = node.request("PUT", f"/users/{key}", user("Ann")).headers["etag"]
    new = other.request("PUT", f"/users/{key}", user("Ben"), {"If-Match": old})
    assert new.status == 200
    refused = node.request("PUT", f"/users/{key}", user("Cid"), {"If-Match": old})
    check_problem(refused, 412, "precondition_failed")
    assert refused.headers["etag"] == new.headers["etag"]
