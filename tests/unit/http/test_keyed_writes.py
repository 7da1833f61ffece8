"""Idempotency keys at several nodes of one log: one effect and one answer, whatever happens
between the first request and the next (I3).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clusterlite import Entity, Field
from clusterlite.core import codec
from clusterlite.core.hashing import MARK_EVERY
from clusterlite.core.keys import keyed_event_id
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.app_node import AppNode
from tests.http_node import check_problem, position
from tests.nodes import HeldLog, follows, put, stamp
from tests.processes import Answer, wait_until

_numbers = itertools.count()


class User(Entity, table="users"):
    name: str = Field(min_length=1)


class StricterUser(Entity, table="users"):
    name: str = Field(min_length=10)


class Write(NamedTuple):
    method: str
    path: str
    body: Any
    headers: dict[str, str]

    def sent_to(self, node: AppNode, **more: str) -> Answer:
        return node.request(self.method, self.path, self.body, {**self.headers, **more})


class Nodes:
    """Two nodes of one log, each with its application, and what a test needs to disturb them."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.store = MemoryStore()
        self._folder = folder
        self._opened = opened
        self.a, self.b = self.start("a"), self.start("b")

    def start(self, name: str, log: MemoryLog | None = None, kind: type[Entity] = User) -> AppNode:
        log = MemoryLog(self.store) if log is None else log
        return self._opened.enter_context(AppNode(self._folder / name, log, [kind]))

    def level(self) -> None:
        """Let both apply all that the log has."""
        for node in (self.a, self.b):
            follows(node.node, self.store.end - 1)

    def append(self, *records: bytes) -> int:
        log = MemoryLog(self.store)
        log.open()
        try:
            return put(log, *records)
        finally:
            log.close()

    def rows(self, node: AppNode | None = None) -> list[dict[str, Any]]:
        self.level()
        found: list[dict[str, Any]] = (node or self.a).request("GET", "/users").json
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """For tests that change nothing but rows and keys of their own."""
    with ExitStack() as opened:
        yield Nodes(tmp_path_factory.mktemp("nodes"), opened)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as opened:
        yield Nodes(tmp_path, opened)


@pytest.fixture
def key() -> str:
    return f"k-{next(_numbers)}"


def prepared(nodes: Nodes, kind: str, key: str) -> Write:
    """A write of this kind, once what it needs is there."""
    headers, path = {"Idempotency-Key": key}, f"/users/{key}"
    ann = {"name": f"Ann {key}"}
    if kind in {"replace", "remove", "exists", "many exist", "precondition"}:
        nodes.a.request("PUT", path, ann)
        nodes.level()
    return {
        "create": lambda: Write("POST", "/users", ann, headers),
        "create many": lambda: Write("POST", "/users", [ann, ann, ann], headers),
        "put": lambda: Write("PUT", path, ann, headers),
        "replace": lambda: Write("PUT", path, {"name": f"Ben {key}"}, headers),
        "remove": lambda: Write("DELETE", path, None, headers),
        "exists": lambda: Write("POST", "/users", {"id": key, **ann}, headers),
        "many exist": lambda: Write("POST", "/users", [ann, {"id": key, **ann}], headers),
        "precondition": lambda: Write("PUT", path, ann, {**headers, "If-Match": '"0"'}),
        "absent": lambda: Write("DELETE", path, None, headers),
    }[kind]()


STATUS = {
    "create": 201,
    "create many": 201,
    "put": 201,
    "replace": 200,
    "remove": 204,
    "exists": 409,
    "many exist": 409,
    "precondition": 412,
    "absent": 404,
}
"""What each kind is answered."""


def same(first: Answer, again: Answer, *, body: bool = True) -> None:
    names = ("location", "etag", "clusterlite-token", "clusterlite-event", "content-type")
    shown = names if body else names[:-1]
    assert again.status == first.status
    assert [again.headers.get(n) for n in shown] == [first.headers.get(n) for n in shown]
    assert not body or again.body == first.body
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("kind", STATUS)
def test_sent_again_to_either_node_it_has_one_effect_and_one_answer(
    shared: Nodes, key: str, kind: str
) -> None:
    write = prepared(shared, kind, key)
    first = write.sent_to(shared.a)
    assert first.status == STATUS[kind]
    before, end = shared.rows(), shared.store.end
    for node in (shared.b, shared.a, shared.b):
        same(first, write.sent_to(node))
    assert (shared.rows(), shared.store.end) == (before, end), "a replay was written"


@pytest.mark.parametrize("kind", STATUS)
def test_after_its_rows_changed_all_but_the_body_is_the_same(
    shared: Nodes, key: str, kind: str
) -> None:
    write = prepared(shared, kind, key)
    first = write.sent_to(shared.a)
    own = [row["id"] for row in shared.rows() if key in row["name"]] or [key]
    for number, name in enumerate(own):
        method, body = ("PUT", {"name": f"since {number}"}) if number else ("DELETE", None)
        shared.a.request(method, f"/users/{name}", body)
    if kind in {"remove", "absent"}:
        shared.a.request("PUT", f"/users/{key}", {"name": "anew"})
    before = shared.rows()
    again = write.sent_to(shared.b)
    rejected = STATUS[kind] >= 400
    same(first, again, body=rejected)
    if not rejected and kind != "remove":
        assert (again.body, again.headers["preference-applied"]) == (b"", "return=minimal")
    assert shared.rows() == before


@pytest.mark.parametrize("kind", STATUS)
def test_another_body_with_the_key_is_refused_at_either_node(
    shared: Nodes, key: str, kind: str
) -> None:
    write = prepared(shared, kind, key)
    event = write.sent_to(shared.a).headers["clusterlite-event"]
    before, end = shared.rows(), shared.store.end
    others = [
        Write("POST", "/users", {"name": "another"}, write.headers),
        Write("POST", "/users", [{"name": "another"}], write.headers),
        Write("DELETE", "/users/another", None, write.headers),
        write._replace(headers={**write.headers, "If-None-Match": "*", "If-Match": ""}),
    ]
    for node, other in itertools.product((shared.a, shared.b), others):
        assert check_problem(other.sent_to(node), 422, "key_reused")["event"] == event
    assert (shared.rows(), shared.store.end) == (before, end)


def test_in_flight_at_both_nodes_at_once_it_has_one_effect_and_one_answer(
    shared: Nodes, key: str
) -> None:
    for number in range(10):
        write = prepared(shared, "create", f"{key}-{number}")
        with ThreadPoolExecutor(8) as clients:
            where = [shared.a, shared.b] * 4
            answers = list(clients.map(write.sent_to, where))
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert len({answer.headers["clusterlite-token"] for answer in answers}) == 1
        assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
        firsts = [one for one in answers if "idempotency-replayed" not in one.headers]
        assert 1 <= len(firsts) <= 2, "each node may hold its own for the first"
        same(firsts[0], write.sent_to(shared.b))
        assert [row for row in shared.rows() if row["name"] == write.body["name"]] == [
            answers[0].json
        ]


def test_of_those_in_flight_at_one_node_one_is_told_that_it_was_first(
    tmp_path: Path, key: str
) -> None:
    log = HeldLog()
    write = Write("POST", "/users", {"name": key}, {"Idempotency-Key": key})
    with AppNode(tmp_path / "a", log, [User]) as node, ThreadPoolExecutor(4) as clients:
        log.holding.set()
        asked = [clients.submit(write.sent_to, node) for _ in range(4)]
        waiting = node.node._runtime.engine._writes.waited
        wait_until(lambda: sum(len(found.replies) for found in list(waiting.values())) == 4)
        log.release()
        answers = [one.result() for one in asked]
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    told = sorted(answer.headers.get("idempotency-replayed", "") for answer in answers)
    assert told == ["", "true", "true", "true"]


def test_records_that_the_log_has_twice_have_one_effect_and_one_answer(
    nodes: Nodes, key: str
) -> None:
    write = prepared(nodes, "create", key)
    first = write.sent_to(nodes.a)
    nodes.append(*[record.value for record in nodes.store.records] * 2)
    before = nodes.rows()
    assert len(before) == 1
    same(first, write.sent_to(nodes.b))


def test_a_new_replica_and_a_restarted_node_answer_as_the_first_did(
    nodes: Nodes, key: str, tmp_path: Path
) -> None:
    writes = [prepared(nodes, kind, f"{key}-{kind}".replace(" ", "-")) for kind in STATUS]
    firsts = [write.sent_to(nodes.a) for write in writes]
    before = nodes.rows()
    nodes.a.stop()
    with (
        AppNode(tmp_path / "a", MemoryLog(nodes.store), [User]) as again,
        AppNode(tmp_path / "new", MemoryLog(nodes.store), [User]) as new,
    ):
        for node, (write, first) in itertools.product(
            (again, new), zip(writes, firsts, strict=True)
        ):
            same(first, write.sent_to(node))
        assert nodes.rows(again) == nodes.rows(new) == before


# What uses up a key, and what does not.


@pytest.mark.parametrize(
    ("body", "more", "status", "code"),
    [
        ({"name": ""}, {}, 422, "invalid"),
        ([{"name": "Ann"}, {"name": ""}], {}, 422, "invalid"),
        ({"name": "x" * 1_000_000}, {}, 413, "record_too_large"),
        ({"name": "Ann"}, {"If-Match": '"1"'}, 400, "bad_precondition"),
        ({"name": "Ann"}, {"Content-Type": "text/plain"}, 415, "content_type"),
        ({"name": "Ann"}, {"Origin": "http://elsewhere"}, 403, "foreign_origin"),
    ],
)
def test_what_was_refused_before_the_log_uses_up_no_key(
    shared: Nodes, key: str, body: Any, more: dict[str, str], status: int, code: str
) -> None:
    headers, end = {"Idempotency-Key": key}, shared.store.end
    refused = shared.a.request("POST", "/users", body, headers | more)
    check_problem(refused, status, code)
    assert shared.store.end == end
    written = shared.b.request("POST", "/users", {"name": "Ann"}, headers)
    assert written.status == 201
    assert "idempotency-replayed" not in written.headers


def test_what_happened_is_not_denied_by_a_class_that_takes_less_since(
    nodes: Nodes, key: str
) -> None:
    write = prepared(nodes, "create", key)
    first = write.sent_to(nodes.a)
    stricter = nodes.start("stricter", kind=StricterUser)
    check_problem(stricter.request("POST", "/users", write.body), 422, "invalid")
    same(first, write.sent_to(stricter))


def test_a_browser_that_has_seen_more_keeps_its_token_and_another_gets_one(
    shared: Nodes, key: str
) -> None:
    write = prepared(shared, "create", key)
    first = write.sent_to(shared.a)
    cookie = first.headers["set-cookie"].partition(";")[0]
    cluster, _, at = cookie.rpartition(":")
    later = write.sent_to(shared.b, Cookie=f"{cluster}:{int(at) + 1}")
    same(first, later)
    assert "set-cookie" not in later.headers
    for earlier in (f"{cluster}:0", "a=b"):
        assert write.sent_to(shared.b, Cookie=earlier).headers["set-cookie"].startswith(cookie)


# The window.


def test_within_the_window_a_key_is_remembered_and_beyond_it_it_is_a_new_request(
    nodes: Nodes, key: str
) -> None:
    node = nodes.a.node
    settings = {"window_positions": 10, "window_s": 3600}
    nodes.append(codec.encode(stamp(node, "settings"), "SETTINGS", "", settings))
    write = prepared(nodes, "create", key)
    first = write.sent_to(nodes.a)
    event = f"/-/events/{first.headers['clusterlite-event']}"
    barriers = [codec.encode(stamp(node, "b"), "BARRIER")] * MARK_EVERY

    nodes.append(*barriers * 2)
    nodes.store.last_ms += 3500 * 1000
    nodes.append(*barriers)
    nodes.level()
    same(first, write.sent_to(nodes.b))

    nodes.store.last_ms += 200 * 1000
    nodes.append(*barriers)
    nodes.level()
    for each in (nodes.a, nodes.b):
        assert each.request("GET", event).json["status"] == "forgotten"
    second = write.sent_to(nodes.b)
    assert second.status == 201
    assert position(second) > position(first)
    assert "idempotency-replayed" not in second.headers
    assert len(nodes.rows()) == 2
    same(second, write.sent_to(nodes.a))


def test_a_settled_key_is_closed_at_every_node(shared: Nodes, key: str) -> None:
    event = keyed_event_id(shared.a.node.cluster, "", key)
    assert shared.a.request("POST", f"/-/events/{event}/settle").json["status"] == "never"
    shared.level()
    write = prepared(shared, "create", key)
    for node in (shared.a, shared.b):
        assert check_problem(write.sent_to(node), 409, "never")["event"] == event
