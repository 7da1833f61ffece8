"""Reads at each level of consistency over HTTP, at two nodes on one log."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest

from tests.http_node import check_problem, http_node, position, user
from tests.processes import WAIT_S, Answer, Serve, freeze

PATHS = ["/users", "/users/x", "/-/events/x"]
LEVELS = ["eventual", "session", "bounded:5", "strong"]


@pytest.fixture(scope="module")
def other(node: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A second node on the same log."""
    with http_node(tmp_path_factory.mktemp("levels"), log=f"file:{node.data / 'log'}") as serve:
        yield serve


@pytest.fixture
def key() -> str:
    return f"c-{uuid.uuid4().hex[:12]}"


@contextmanager
def stopped(serve: Serve) -> Iterator[None]:
    """The node process stands still; its worker answers from what its replica has."""
    (process,) = serve.children()["node"]
    freeze(process)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def read(serve: Serve, path: str, level: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return serve.request("GET", f"{path}?_consistency={level}", headers=named)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("level", LEVELS)
def test_every_read_takes_every_level_in_the_query_and_as_a_header(
    node: Serve, path: str, level: str
) -> None:
    by_query = read(node, path, level)
    by_header = node.request("GET", path, headers={"ClusterLite-Consistency": level})
    assert (by_query.status, by_query.body.replace(b"x?", b"x")) == (
        by_header.status,
        by_header.body,
    )
    assert by_query.status == (404 if path == "/users/x" else 200)
    head = node.request("HEAD", f"{path}?_consistency={level}")
    assert head.status == by_query.status


def test_a_strong_read_waits_for_a_write_acknowledged_at_the_other_node(
    node: Serve, other: Serve, key: str
) -> None:
    with ThreadPoolExecutor(4) as clients:
        with stopped(other):
            written = node.request("PUT", f"/users/{key}", user())
            event = f"/-/events/{written.headers['clusterlite-event']}"
            assert read(other, f"/users/{key}", "eventual").status == 404
            paths = [f"/users/{key}", "/users", event]
            reads = [clients.submit(read, other, path, "strong") for path in paths]
            reads.append(clients.submit(read, other, paths[0], "bounded:0"))
            assert not wait(reads, 0.3).done, "it was answered from an older state"
        row, rows, fate, bounded = (found.result(WAIT_S) for found in reads)
    assert row.json == bounded.json == user(id=key)
    assert row.json in rows.json
    assert fate.json["status"] == "applied"
    assert min(map(position, (row, rows, fate, bounded))) >= position(written)


@pytest.mark.parametrize("path", PATHS)
def test_a_read_that_is_not_new_enough_in_time_is_an_error_with_retry_after(
    node: Serve, other: Serve, path: str, key: str
) -> None:
    written = node.request("PUT", f"/users/{key}", user())
    token = written.headers["clusterlite-token"]
    with stopped(other):
        last = node.request("PUT", f"/users/{key}", user()).headers["clusterlite-token"]
        for level in ("strong", "bounded:0"):
            answer = read(other, path, level, Prefer="wait=0")
            check_problem(answer, 503, "behind")
            assert answer.headers["retry-after"] == "1"
        answer = read(other, path, "session", Prefer="wait=0", ClusterLite_Token=last)
        check_problem(answer, 503, "behind")
        cookie = f"clusterlite_token={last}"
        assert read(other, path, "eventual", Cookie=cookie).status in {200, 404}
    assert read(other, path, "strong", ClusterLite_Token=token).status in {200, 404}


def test_a_bounded_read_is_answered_without_the_node_while_it_is_fresh(
    node: Serve, other: Serve, key: str
) -> None:
    assert read(other, "/users", "strong").status == 200
    with stopped(other):
        assert read(other, "/users", "bounded:86400", Prefer="wait=0").status == 200
        check_problem(read(other, "/users", "bounded:0.000001", Prefer="wait=0"), 503, "behind")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_tokens_are_judged_at_every_level_but_eventual(node: Serve, path: str, level: str) -> None:
    status = node.request("GET", "/-/cluster").json
    ahead = f"{status['cluster']}:{status['position'] + 1_000}"
    answer = read(node, path, level, ClusterLite_Token=ahead)
    document = check_problem(answer, 409, "token_ahead")
    assert str(status["position"] + 1_000) in document["detail"]
    check_problem(read(node, path, level, ClusterLite_Token="other:1"), 409, "foreign_token")
    for token in (ahead, "other:1", "nonsense"):
        assert read(node, path, "eventual", ClusterLite_Token=token).status in {200, 404}


@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_level_is_refused_with_those_that_are(node: Serve, path: str) -> None:
    document = check_problem(read(node, path, "linearizable"), 400, "bad_consistency")
    assert document["detail"] == (
        "_consistency must be one of eventual, session, bounded:<seconds>, strong"
    )
    header = node.request("GET", path, headers={"ClusterLite-Consistency": "bounded"})
    document = check_problem(header, 400, "bad_consistency")
    assert document["detail"].startswith("ClusterLite-Consistency must be bounded:<seconds>")
    twice = node.request("GET", f"{path}?_consistency=strong&_consistency=strong")
    check_problem(twice, 400, "repeated_parameter")


def test_the_query_counts_before_the_header(node: Serve) -> None:
    answer = read(node, "/users", "strong", ClusterLite_Consistency="nonsense")
    assert answer.status == 200


def test_a_write_takes_no_level(node: Serve, key: str) -> None:
    answer = node.request("PUT", f"/users/{key}?_consistency=strong", user())
    check_problem(answer, 400, "unknown_parameter")


def test_a_list_at_a_level_has_the_same_etag_and_links_that_keep_it(node: Serve, key: str) -> None:
    node.request("POST", "/users", [user(id=f"{key}-1"), user(id=f"{key}-2")])
    plain = node.request("GET", "/users")
    strong = read(node, "/users", "strong")
    assert strong.headers["etag"] == plain.headers["etag"]
    assert read(node, "/users", "strong", If_None_Match=plain.headers["etag"]).status == 304
    page = node.request("GET", "/users?_limit=1&_consistency=bounded:5")
    link = page.headers["link"].partition(">")[0].removeprefix("<")
    assert "_consistency=bounded%3A5" in link
    assert node.request("GET", link).status == 200
    assert page.headers["etag"] == node.request("GET", "/users?_limit=1").headers["etag"]
