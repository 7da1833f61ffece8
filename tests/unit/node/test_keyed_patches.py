"""Patches with a key: one effect and one answer, through Python and HTTP, at any node (I3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from pydantic import model_validator

import clusterlite.http.patches
import clusterlite.node.patches
from clusterlite import Entity, KeyReused, NotFound, OutcomeUnknown, Rejected
from clusterlite.core import codec
from clusterlite.core.keys import attempt_event_id, keyed_event_id
from clusterlite.errors import Contention
from clusterlite.log.base import Settled
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.app_node import AppNode
from tests.http_node import check_problem
from tests.nodes import follows, stamp


class Person(Entity, table="persons"):
    name: str
    nick: str | None = None
    age: int = 0


class Span(Entity, table="spans"):
    low: int
    high: int

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self


class RivalLog(MemoryLog):
    """A log in which another writer's event comes before each of so many patches."""

    rivals: list[bytes]
    struck: Callable[[], None]

    def append(self, values: Sequence[bytes]) -> list[Future[int]]:
        if self.rivals and any(b'"PATCH"' in value for value in values):
            super().append([self.rivals.pop()])
            self.struck()
        return super().append(values)


class Nodes:
    """Two nodes of one log, each with its application; writers may come before those of `a`."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.store = MemoryStore()
        self._folder, self._opened = folder, opened
        self.log = RivalLog(self.store)
        self.log.rivals, self.log.struck = [], lambda: None
        self.served_a, self.served_b = self.start("a", self.log), self.start("b")
        self.a, self.b = self.served_a.node, self.served_b.node
        self.a.create(Person(id="p", name="Ann", nick="A"))
        self.a.create(Span(id="s", low=1, high=5))
        self.level()

    def start(self, name: str, log: MemoryLog | None = None) -> AppNode:
        log = MemoryLog(self.store) if log is None else log
        return self._opened.enter_context(AppNode(self._folder / name, log, [Person, Span]))

    def level(self) -> None:
        for node in (self.a, self.b):
            follows(node, self.store.end - 1)

    def lose(self, tries: int) -> None:
        """Let so many patches of the span `s`, sent by `a`, lose to another writer."""
        self.log.rivals = [
            codec.encode(
                stamp(self.a, f"rival-{self.store.end}-{number}"),
                "UPDATE",
                "spans",
                {"id": "s", "low": 1, "high": 100 + number},
                schema=self.a.position,
            )
            for number in range(tries)
        ]

    def first_id(self, key: str) -> str:
        return keyed_event_id(self.a.cluster, "", key)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as opened:
        yield Nodes(tmp_path, opened)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What patches take for the time, in seconds."""
    clock = SimpleNamespace(now=0.0)
    told = SimpleNamespace(monotonic=lambda: clock.now)
    for module in (clusterlite.http.patches, clusterlite.node.patches, clusterlite.node.node):
        monkeypatch.setattr(module, "time", told)
    return clock


Case = tuple[type[Entity], str, dict[str, Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "merged": (Person, "p", {"nick": None}, {"nick": "B"}),
    "read-first": (Span, "s", {"low": 2}, {"low": 3}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("conditional", [False, True])
def test_a_repeated_patch_has_one_effect_and_one_result_at_either_node(
    nodes: Nodes, case: Case, conditional: bool
) -> None:
    kind, row_id, change, other = case
    row = nodes.a.get(kind, row_id)
    assert row is not None
    version = row.version if conditional else None
    first = nodes.a.patch(kind, row_id, change, if_version=version, key="k")
    nodes.level()
    end = nodes.store.end
    for node in (nodes.a, nodes.b):
        again = node.patch(kind, row_id, change, if_version=version, key="k")
        assert (again, again.version) == (first, first.version)
        with pytest.raises(KeyReused):
            node.patch(kind, row_id, other, if_version=version, key="k")
        with pytest.raises(KeyReused):
            node.patch(kind, row_id, change, if_version=0 if version is None else None, key="k")
        with pytest.raises(KeyReused):
            node.put(first, key="k")
    assert nodes.store.end == end, "a repetition was written"


def test_a_node_that_started_again_knows_the_key(nodes: Nodes) -> None:
    nodes.lose(1)
    first = nodes.a.patch(Span, "s", {"low": 2}, key="k")
    nodes.served_a.stop()
    again = nodes.start("a").node
    assert again.patch(Span, "s", {"low": 2}, key="k") == first
    assert again.patch(Span, "s", {"low": 2}, key="k").version == first.version


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("over_http_first", [True, False])
def test_a_key_used_over_http_is_known_in_python_and_the_other_way_round(
    nodes: Nodes, case: Case, over_http_first: bool
) -> None:
    kind, row_id, change, other = case
    path, headers = f"/{kind.declaration.name}/{row_id}", {"Idempotency-Key": "k"}
    if over_http_first:
        version = int(nodes.served_a.request("PATCH", path, change, headers).headers["etag"][1:-1])
        nodes.level()
        again = nodes.b.patch(kind, row_id, change, key="k")
        assert again.version == version
        assert again == nodes.b.get(kind, row_id)
        with pytest.raises(KeyReused):
            nodes.b.patch(kind, row_id, other, key="k")
    else:
        first = nodes.a.patch(kind, row_id, change, key="k")
        nodes.level()
        answer = nodes.served_b.request("PATCH", path, change, headers)
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.headers["etag"] == f'"{first.version}"'
        assert answer.json["id"] == row_id
        reused = nodes.served_b.request("PATCH", path, other, headers)
        check_problem(reused, 422, "key_reused")


def test_a_condition_is_part_of_the_request_either_way(nodes: Nodes) -> None:
    row = nodes.a.get(Person, "p")
    assert row is not None
    first = nodes.a.patch(Person, "p", {"age": 1}, if_version=row.version, key="k")
    headers = {"Idempotency-Key": "k", "If-Match": f'"{row.version}"'}
    answer = nodes.served_a.request("PATCH", "/persons/p", {"age": 1}, headers)
    assert answer.headers["etag"] == f'"{first.version}"'
    del headers["If-Match"]
    reused = nodes.served_a.request("PATCH", "/persons/p", {"age": 1}, headers)
    check_problem(reused, 422, "key_reused")


def test_a_row_that_was_written_since_comes_back_with_its_id_and_version_alone(
    nodes: Nodes,
) -> None:
    for kind, row_id, change, other in CASES.values():
        first = nodes.a.patch(kind, row_id, change, key=row_id)
        nodes.a.patch(kind, row_id, other)
        again = nodes.a.patch(kind, row_id, change, key=row_id)
        assert (again.id, again.version) == (row_id, first.version)
        with pytest.raises(AttributeError):
            getattr(again, next(iter(change)))


def test_a_rejection_is_repeated_when_its_cause_is_gone(nodes: Nodes) -> None:
    cases: list[tuple[type[Entity], dict[str, Any], dict[str, Any]]] = [
        (Person, {"age": 1}, {"name": "N"}),
        (Span, {"low": 2}, {"low": 1, "high": 9}),
    ]
    for kind, change, fields in cases:
        with pytest.raises(NotFound) as first:
            nodes.a.patch(kind, "nobody", change, key=kind.__name__)
        nodes.a.put(kind(id="nobody", **fields))
        with pytest.raises(NotFound) as again:
            nodes.a.patch(kind, "nobody", change, key=kind.__name__)
        assert again.value.event_id == first.value.event_id


def test_the_keys_id_tells_the_try_that_was_applied(nodes: Nodes) -> None:
    nodes.lose(2)
    first = nodes.a.patch(Span, "s", {"low": 2}, key="k")
    nodes.level()
    row = nodes.b.get(Span, "s")
    assert row is not None
    assert (row.low, row.high, row.version) == (2, 100, first.version)
    asked = nodes.first_id("k")
    outcome = nodes.b.outcome(asked)
    assert outcome is not None
    assert (outcome.verdict, outcome.position) == ("applied", first.version)
    shown = nodes.served_b.request("GET", f"/-/events/{asked}").json
    assert (shown["status"], shown["position"]) == ("applied", first.version)
    assert nodes.b.settle(asked) == outcome
    assert nodes.served_b.request("POST", f"/-/events/{asked}/settle").json == shown


def test_five_lost_tries_are_contention_for_whoever_asks(nodes: Nodes) -> None:
    nodes.lose(5)
    with pytest.raises(Contention):
        nodes.a.patch(Span, "s", {"low": 2}, key="k")
    nodes.level()
    with pytest.raises(Contention):
        nodes.b.patch(Span, "s", {"low": 2}, key="k")
    outcome = nodes.b.outcome(nodes.first_id("k"))
    assert outcome is not None
    assert (outcome.verdict, outcome.code) == ("rejected", "contention")
    assert outcome.event_id == nodes.first_id("k")
    assert nodes.b.settle(outcome.event_id) == outcome
    for number in range(1, 5):  # each try's own id tells of that try alone
        tried = nodes.b.outcome(attempt_event_id(outcome.event_id, number))
        assert tried is not None
        assert tried.code == "precondition_failed"
        assert nodes.b.settle(tried.event_id) == tried
    settled = nodes.served_b.request("POST", f"/-/events/{nodes.first_id('k')}/settle").json
    assert (settled["status"], settled["code"]) == ("rejected", "contention")


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("settled_by", ["nobody", "python", "http"])
def test_a_time_that_ends_between_tries_is_unknown_until_it_is_settled_or_tried_on(
    nodes: Nodes, clock: SimpleNamespace, over_http: bool, settled_by: str
) -> None:
    nodes.lose(1)
    nodes.log.struck = lambda: setattr(clock, "now", 100.0)
    asked, headers = nodes.first_id("k"), {"Idempotency-Key": "k"}
    if over_http:
        answer = nodes.served_a.request("PATCH", "/spans/s", {"low": 2}, headers)
        assert check_problem(answer, 504, "outcome_unknown")["event"] == asked
        assert answer.headers["location"] == f"/-/events/{asked}"
    else:
        with pytest.raises(OutcomeUnknown) as unknown:
            nodes.a.patch(Span, "s", {"low": 2}, key="k")
        assert unknown.value.event_id == asked
    nodes.level()
    assert nodes.b.outcome(asked) is None, "a lost try was told as the fate of the whole"
    assert nodes.served_b.request("GET", f"/-/events/{asked}").json["status"] == "unseen"
    if settled_by == "nobody":
        assert nodes.b.patch(Span, "s", {"low": 2}, key="k").low == 2
        return
    if settled_by == "python":
        assert nodes.b.settle(asked).verdict == "never"
    else:
        shown = nodes.served_b.request("POST", f"/-/events/{asked}/settle").json
        assert shown["status"] == "never"
    nodes.level()
    with pytest.raises(Rejected) as closed:
        nodes.a.patch(Span, "s", {"low": 2}, key="k")
    assert closed.value.rejection == "never"
    refused = nodes.served_b.request("PATCH", "/spans/s", {"low": 2}, headers)
    check_problem(refused, 409, "never")
    outcome = nodes.b.outcome(asked)
    assert outcome is not None
    assert outcome.verdict == "never"
    row = nodes.b.get(Span, "s")
    assert row is not None
    assert row.low == 1


def test_without_a_key_a_time_that_ends_between_tries_is_contention(
    nodes: Nodes, clock: SimpleNamespace
) -> None:
    nodes.log.struck = lambda: setattr(clock, "now", clock.now + 100.0)
    nodes.lose(1)
    with pytest.raises(Contention):
        nodes.a.patch(Span, "s", {"low": 2})
    nodes.lose(1)
    answer = nodes.served_a.request("PATCH", "/spans/s", {"low": 2})
    check_problem(answer, 409, "contention")


ABSENT = pytest.mark.parametrize("table", ["persons", "spans"])


@ABSENT
@pytest.mark.parametrize("match", ["*", '"5"'])
def test_a_precondition_on_an_absent_row_fails_for_good_at_either_node(
    nodes: Nodes, table: str, match: str
) -> None:
    body = {"nick": "B"} if table == "persons" else {"low": 2}
    headers = {"Idempotency-Key": "k", "If-Match": match}
    for served in (nodes.served_a, nodes.served_b):
        answer = served.request("PATCH", f"/{table}/absent", body, headers)
        assert check_problem(answer, 412, "precondition_failed")["event"] == nodes.first_id("k")
        nodes.level()
    assert answer.headers["idempotency-replayed"] == "true"
    other = nodes.served_b.request("PATCH", f"/{table}/absent", {"low": 3, "nick": "C"}, headers)
    check_problem(other, 422, "key_reused")


@ABSENT
def test_a_patch_of_an_absent_row_is_rejected_for_good_in_python(nodes: Nodes, table: str) -> None:
    kind, fields = (Person, {"nick": "B"}) if table == "persons" else (Span, {"low": 2})
    for if_version in (None, 5):
        for node in (nodes.a, nodes.b):
            with pytest.raises(NotFound):
                node.patch(kind, "absent", fields, if_version=if_version, key=f"k{if_version}")
            nodes.level()


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_an_event_that_cannot_be_lost_to_another_writer_is_told_by_its_position(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, case: Case, key: str | None, over_http: bool
) -> None:
    kind, row, fields, _ = case
    monkeypatch.setattr(nodes.log, "append", lambda values: [Settled(9_999) for _ in values])
    told = key is None or kind is Person
    if over_http:
        headers = {"Prefer": "wait=0"} | ({} if key is None else {"Idempotency-Key": key})
        path = f"/{kind.declaration.name}/{row}"
        answer = nodes.served_a.request("PATCH", path, fields, headers)
        assert answer.status == (202 if told else 504), answer
        event = answer.headers["clusterlite-event"]
        assert answer.headers["location"] == f"/-/events/{event}"
    else:
        nodes.a.wait_s = 0.05
        with pytest.raises(OutcomeUnknown) as unknown:
            nodes.a.patch(kind, row, fields, key=key)
        assert unknown.value.position == (9_999 if told else None)
        event = unknown.value.event_id
    assert key is None or event == nodes.first_id(key)
