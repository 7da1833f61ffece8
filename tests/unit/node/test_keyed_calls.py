"""Keys in process: a repeated call has one effect and one result, at any node of the log (I3)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterlite import (
    ConstraintFailed,
    Entity,
    Exists,
    Field,
    InputError,
    KeyReused,
    LogUnavailable,
    Node,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Rejected,
)
from clusterlite.core.keys import keyed_event_id
from clusterlite.errors import THIS_TRY, AppendUnknown, ClusterLiteError
from clusterlite.log.base import Append, Settled
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.app_node import AppNode
from tests.http_node import check_problem
from tests.nodes import HeldLog, User, follows, names, user
from tests.processes import wait_until

_numbers = itertools.count()


class Note(Entity, table="notes"):
    text: str
    made: int = Field(default_factory=lambda: next(_numbers))
    tags: list[str] = Field(default_factory=list)
    kind: str = "plain"


Call = Callable[[Node], object]


class Pair:
    """Two nodes of one log."""

    def __init__(self, store: MemoryStore, a: Node, b: Node) -> None:
        self.store, self.a, self.b = store, a, b

    def level(self) -> None:
        for node in (self.a, self.b):
            follows(node, self.store.end - 1)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    store = MemoryStore()
    with (
        Node(tmp_path / "a", MemoryLog(store), [User, Note]) as a,
        Node(tmp_path / "b", MemoryLog(store), [User, Note]) as b,
    ):
        a.create(user("old", "old"))
        pair = Pair(store, a, b)
        pair.level()
        yield pair


WRITES: dict[str, Call] = {
    "create": lambda node: node.create(user("ann"), key="k"),
    "put": lambda node: node.put(user("ann", "ann"), key="k"),
    "update": lambda node: node.update(user("new", "old"), key="k"),
    "delete": lambda node: node.delete(user("old", "old"), key="k"),
}
REFUSED: dict[str, tuple[Call, type[Rejected]]] = {
    "create": (lambda node: node.create(user("ann", "old"), key="k"), Exists),
    "put": (lambda node: node.put(user("old", "x"), key="k"), ConstraintFailed),
    "update": (lambda node: node.update(user("x", "x"), key="k"), NotFound),
    "delete": (
        lambda node: node.delete(user("old", "old"), if_version=0, key="k"),
        PreconditionFailed,
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_repeated_call_has_one_effect_and_one_result_at_either_node(
    pair: Pair, write: Call
) -> None:
    first = write(pair.a)
    pair.level()
    rows, end = pair.a.list(User), pair.store.end
    for node in (pair.a, pair.b):
        again = write(node)
        assert again == first
        assert getattr(again, "version", 0) == getattr(first, "version", 0)
    assert pair.store.end == end, "the repetition was written"
    assert pair.b.list(User) == rows


@pytest.mark.parametrize(("write", "kind"), REFUSED.values(), ids=REFUSED)
def test_a_rejection_is_repeated_when_its_cause_is_gone(
    pair: Pair, write: Call, kind: type[Rejected]
) -> None:
    with pytest.raises(kind) as first:
        write(pair.a)
    pair.a.delete(user("old", "old"))
    pair.a.put(user("x", "x"))
    pair.level()
    rows = pair.a.list(User)
    with pytest.raises(kind) as again:
        write(pair.b)
    assert str(again.value) == str(first.value)
    assert (again.value.event_id, again.value.position) == (
        first.value.event_id,
        first.value.position,
    )
    assert pair.b.list(User) == rows


OTHERS: dict[str, Call] = {
    "field": lambda node: node.create(user("ben"), key="k"),
    "id": lambda node: node.create(user("ann", "ann"), key="k"),
    "operation": lambda node: node.put(user("ann", "ann"), key="k"),
    "version": lambda node: node.update(user("ann", "ann"), if_version=7, key="k"),
    "removal": lambda node: node.delete(user("ann", "ann"), key="k"),
    "table": lambda node: node.create(Note(text="ann"), key="k"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_key_with_other_arguments_is_refused_and_has_no_effect(pair: Pair, other: Call) -> None:
    first = pair.a.create(user("ann"), key="k")
    pair.level()
    for node in (pair.a, pair.b):
        with pytest.raises(KeyReused, match="'k' came with another write before") as refused:
            other(node)
        assert f"at {first.version}" in str(refused.value)
    pair.level()
    assert sorted(names(pair.b)) == ["ann", "old"]
    assert pair.b.list(Note) == []


def test_a_row_that_was_written_since_comes_back_as_it_was_called_with(pair: Pair) -> None:
    first = pair.a.create(user("ann"), key="k")
    pair.a.update(user("ben", first.id))
    pair.level()
    again = pair.b.create(user("ann"), key="k")
    assert (again, again.version) == (first, first.version)
    assert sorted(names(pair.b)) == ["ben", "old"]


def test_what_the_class_makes_by_itself_is_no_part_of_the_call(pair: Pair) -> None:
    first = pair.a.create(Note(text="a"), key="k")
    assert pair.a.create(Note(text="a"), key="k") == first
    assert pair.a.create(Note(text="a", kind="plain", tags=[]), key="k-2") != first
    with pytest.raises(KeyReused):
        pair.a.create(Note(text="a", made=first.made), key="k")
    grown = Note(text="a")
    grown.tags.append("in place")
    with pytest.raises(KeyReused):
        pair.a.create(grown, key="k")


def test_a_key_in_flight_at_both_nodes_at_once_has_one_effect(pair: Pair) -> None:
    for number in range(10):
        with ThreadPoolExecutor(8) as threads:
            asked = [
                threads.submit(node.create, user(f"n-{number}"), key=f"k-{number}")
                for node in (pair.a, pair.b) * 4
            ]
            rows = [one.result() for one in asked]
        assert {(row.id, row.version) for row in rows} == {(rows[0].id, rows[0].version)}
    pair.level()
    assert len(pair.b.list(User)) == 11


def test_an_unknown_outcome_is_resolved_by_the_same_call_again(tmp_path: Path) -> None:
    log = HeldLog()
    with Node(tmp_path / "a", log, [User], wait_s=0.05) as node:
        log.holding.set()
        with pytest.raises(OutcomeUnknown) as unknown:
            node.create(user("ann"), key="k")
        assert unknown.value.event_id == keyed_event_id(node.cluster, "", "k")
        log.release()
        wait_until(lambda: names(node) == ["ann"])
        (ann,) = node.list(User)
        assert node.create(user("ann"), key="k") == ann
        assert names(node) == ["ann"]


def test_a_key_whose_event_was_settled_says_so(pair: Pair) -> None:
    pair.a.settle(keyed_event_id(pair.a.cluster, "", "k"))
    pair.level()
    with pytest.raises(Rejected, match="its id was closed by settle") as closed:
        pair.b.create(user("ann"), key="k")
    assert closed.value.rejection == "never"


def test_what_was_refused_before_the_log_uses_up_no_key(pair: Pair) -> None:
    with pytest.raises(InputError):
        pair.a.create(user("ann", "_x"), key="k")
    assert pair.a.create(user("ann"), key="k").name == "ann"


@pytest.mark.parametrize("key", ["", " k", "k ", "k" * 256, "é", "a\nb", "\ud800"])
def test_a_key_that_no_header_could_carry_is_refused(pair: Pair, key: str) -> None:
    end = pair.store.end
    with pytest.raises(InputError, match="1 to 255 ASCII characters"):
        pair.a.create(user("ann"), key=key)
    assert pair.store.end == end


@pytest.mark.parametrize("over_http_first", [True, False])
def test_http_and_python_share_one_space_of_keys(tmp_path: Path, over_http_first: bool) -> None:
    """A key has one effect however it came; the other one is told that it is another request."""
    headers, body = {"Idempotency-Key": "k"}, {"name": "ann", "email": "ann@example.com"}
    with AppNode(tmp_path / "a", MemoryLog(), [User]) as served:
        if over_http_first:
            assert served.request("POST", "/users", body, headers).status == 201
            with pytest.raises(KeyReused):
                served.node.create(user("ann"), key="k")
        else:
            served.node.create(user("ann"), key="k")
            check_problem(served.request("POST", "/users", body, headers), 422, "key_reused")
        assert names(served.node) == ["ann"]


class RefusingLog(MemoryLog):
    """A log whose appends fail in this order, once `failing` is set."""

    failing: list[ClusterLiteError]
    kept: list[bytes]

    def append(self, values: Sequence[bytes]) -> Sequence[Append]:  # type: ignore[override]
        if not self.failing:
            return super().append(values)
        self.kept += values
        return [Settled(self.failing.pop(0)) for _ in values]


RETRIED: dict[str, Callable[[Node], object]] = {
    "create": lambda node: node.create(user("ann"), key="k"),
    "patch": lambda node: node.patch(User, "old", {"name": "ann"}, key="k"),
}


@pytest.mark.parametrize("write", RETRIED.values(), ids=RETRIED)
def test_a_refused_repetition_denies_itself_and_not_the_call_before(
    tmp_path: Path, write: Callable[[Node], object]
) -> None:
    log = RefusingLog()
    log.failing, log.kept = [], []
    with Node(tmp_path / "a", log, [User]) as node:
        node.create(user("old", "old"))
        node.wait_s = 0.05
        log.failing = [AppendUnknown("no acknowledgement"), LogUnavailable("no leader")]
        with pytest.raises(OutcomeUnknown):
            write(node)
        with pytest.raises(LogUnavailable) as refused:
            write(node)
        assert str(refused.value) == f"no leader; {THIS_TRY}"
        log.append(log.kept[:1])
        wait_until(lambda: "ann" in names(node))


def test_a_refused_repetition_over_http_denies_itself_and_not_the_request_before(
    tmp_path: Path,
) -> None:
    log = RefusingLog()
    log.failing, log.kept = [], []
    with AppNode(tmp_path / "a", log, [User]) as served:
        unkeyed = {"Prefer": "wait=0"}
        log.failing = [AppendUnknown("no acknowledgement"), LogUnavailable("no leader")]
        keyed = {"Idempotency-Key": "k", **unkeyed}
        body = {"name": "ann", "email": "a@x"}
        answer = served.request("POST", "/users", body, keyed)
        unknown = check_problem(answer, 504, "outcome_unknown")["event"]
        wait_until(lambda: not served.node._runtime.engine._writes.waited)
        refused = check_problem(
            served.request("POST", "/users", body, {"Idempotency-Key": "k"}), 503, "log_unreachable"
        )
        assert refused["event"] == unknown
        assert refused["detail"] == f"the log cannot be reached: {THIS_TRY}: no leader"
        log.failing = [LogUnavailable("no leader")]
        alone = check_problem(served.request("POST", "/users", body), 503, "log_unreachable")
        assert alone["detail"] == "the log cannot be reached: the write did not happen: no leader"
        log.append(log.kept[:1])
        wait_until(lambda: names(served.node) == ["ann"])


def test_a_refused_settle_denies_that_the_id_was_closed_and_not_the_write(tmp_path: Path) -> None:
    log = RefusingLog()
    log.failing, log.kept = [], []
    with AppNode(tmp_path / "a", log, [User]) as served:
        log.failing = [AppendUnknown("no acknowledgement"), LogUnavailable("no leader")]
        body = {"name": "ann", "email": "a@x"}
        answer = served.request("POST", "/users", body, {"Prefer": "wait=0"})
        event = check_problem(answer, 504, "outcome_unknown")["event"]
        wait_until(lambda: not served.node._runtime.engine._writes.waited)
        settled = served.request("POST", f"/-/events/{event}/settle")
        told = check_problem(settled, 503, "log_unreachable")
        assert told["event"] == event
        assert told["detail"] == (
            "the log cannot be reached: the event's id was not closed: no leader"
        )
