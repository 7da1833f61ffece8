"""The load reads answers as the documents have them, and notes what a client knows then."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from clusterlite.errors import THIS_TRY, ClusterLiteError, LogUnavailable, Overloaded
from clusterlite.http.problems import from_error
from clusterlite.testing.history import Operation, Record, Recorder
from clusterlite.testing.history.check import check_fates
from clusterlite.testing.history.model import Model
from clusterlite.testing.load import client as clients
from clusterlite.testing.load.client import Client, Tally, after
from clusterlite.testing.load.connection import Answer
from clusterlite.testing.load.load import Load
from clusterlite.testing.load.told import Told, of_event, of_read, of_write
from clusterlite.testing.load.workloads.base import Rows, Workload

EVENT = {"clusterlite-event": "e", "clusterlite-token": "c:7"}
ROW = {"id": "a", "n": 1}


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, spelled, b"" if body is None else json.dumps(body).encode())


def problem(status: int, code: str, **headers: str) -> Answer:
    return answer(status, {"code": code}, **headers)


@pytest.mark.parametrize(
    ("got", "status", "code"),
    [
        (None, "unknown", None),
        (answer(202, clusterlite_event="e"), "unknown", None),
        (problem(504, "outcome_unknown", clusterlite_event="e"), "unknown", None),
        (answer(502), "unknown", None),
        (answer(500), "unknown", None),
        (problem(503, "log_unreachable", clusterlite_event="e"), "failed", "log_unreachable"),
        (problem(429, "rate"), "failed", "rate"),
        (problem(413, "too_large"), "failed", "too_large"),
        (problem(422, "invalid"), "failed", "invalid"),
        (problem(404, "no_such_table"), "failed", "no_such_table"),
        (problem(409, "token_ahead"), "failed", "token_ahead"),
        (Answer(409, EVENT, b'{"code": "exists"}'), "rejected", "exists"),
        (Answer(404, EVENT, b'{"code": "not_found"}'), "rejected", "not_found"),
        (Answer(412, EVENT, b'{"code": "precondition_failed"}'), "rejected", "precondition_failed"),
        (Answer(422, EVENT, b'{"code": "datatype"}'), "rejected", "datatype"),
        (Answer(409, EVENT, b'{"code": "never"}'), "never", None),
    ],
)
def test_an_answer_says_what_became_of_a_write(
    got: Answer | None, status: str, code: str | None
) -> None:
    told = of_write(got)
    assert (told.status, told.code) == (status, code)
    if got is not None and status in {"unknown", "rejected", "failed"}:
        assert told.event == got.headers.get("clusterlite-event")


def test_a_success_tells_event_position_version_row_and_replay() -> None:
    headers = {**EVENT, "etag": '"7"', "idempotency-replayed": "true"}
    told = of_write(Answer(201, headers, json.dumps(ROW).encode()))
    assert told == Told("done", None, "e", 7, 7, ROW, "c:7", replayed=True)
    assert of_write(Answer(204, EVENT, b"")) == Told("done", None, "e", 7, token="c:7")


def test_a_row_that_is_not_there_is_read_and_a_node_that_cannot_is_not() -> None:
    token = {"clusterlite_token": "c:9"}
    absent = of_read(problem(404, "not_found", **token))
    assert (absent.status, absent.value, absent.position) == ("done", None, 9)
    assert of_read(answer(200, ROW, etag='"7"', **token)).version == 7
    assert of_read(answer(200, [ROW], etag='"7-abc"', **token)).version is None
    for got in (None, problem(503, "behind"), problem(404, "no_such_table")):
        assert of_read(got).status == "failed"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"status": "applied", "position": 4}, "done"),
        ({"status": "rejected", "position": 4, "code": "exists", "version": 2}, "rejected"),
        ({"status": "never"}, "never"),
        ({"status": "unseen", "looked_up_to": 4}, "unknown"),
        ({"status": "forgotten"}, "unknown"),
    ],
)
def test_an_event_tells_its_fate(said: dict[str, Any], status: str) -> None:
    told = of_event(answer(200, said, clusterlite_token="c:99"), "e")
    assert (told.status, told.position, told.code) == (
        status,
        said.get("position"),
        said.get("code"),
    )
    assert of_event(answer(503), "e").status == "unknown"


def test_that_a_try_did_not_happen_says_nothing_of_the_one_before() -> None:
    unknown, failed, done = Told("unknown"), Told("failed", "overloaded"), Told("done", event="e")
    assert after(unknown, failed).status == "unknown"
    assert after(unknown, done) == done
    assert after(failed, unknown) == unknown
    assert after(failed, failed) == failed
    assert after(unknown, Told("unknown", event="e")).event == "e"
    assert after(unknown, failed._replace(event="e")) == Told("unknown", event="e")
    assert after(failed._replace(event="e"), failed) == failed._replace(event="e")


def test_another_requests_event_is_not_that_of_a_refused_key() -> None:
    assert of_write(problem(422, "key_reused", clusterlite_event="e")) == Told(
        "failed", "key_reused"
    )


@pytest.mark.parametrize(
    ("keyed", "said", "status"),
    [
        (True, "this try did not happen", "unknown"),
        (True, "the write did not happen", "failed"),
        (False, "the write did not happen", "failed"),
        (False, "the node is not serving now", "failed"),
    ],
)
def test_a_refusal_through_a_balancer_denies_no_try_that_it_made_at_another_node(
    keyed: bool, said: str, status: str
) -> None:
    body = {"code": "overloaded", "detail": said}
    got = answer(503, body, server="nginx", clusterlite_event="e")
    assert (of_write(got, keyed=keyed).status, of_write(got).event) == (status, "e")


def refused(error: ClusterLiteError, *, keyed: bool) -> Answer:
    """As the product spells it."""
    answered = from_error(error, "e", denied=THIS_TRY) if keyed else from_error(error, "e")
    headers = {name.decode(): value.decode() for name, value in answered.headers}
    return Answer(answered.status, headers, answered.body("/counters"))


@pytest.mark.parametrize("error", [LogUnavailable("away"), Overloaded("full")])
@pytest.mark.parametrize(
    ("keyed", "found"), [(False, {"failed_but_written"}), (True, set())], ids=["write", "try"]
)
@pytest.mark.parametrize("first", ["unknown", "denied"])
def test_a_write_that_was_denied_is_seen_in_the_log_also_after_it_was_unknown(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    error: ClusterLiteError,
    keyed: bool,
    found: set[str],
    first: str,
) -> None:
    monkeypatch.setattr(clients, "TRIED_S", 0.05)
    link = Link(problem(504, "outcome_unknown", clusterlite_event="e"))
    if first == "denied":  # what is told first is about all that there is
        link, found = Link(refused(error, keyed=keyed)), {"failed_but_written"}
    ends = refused(error, keyed=keyed)
    monkeypatch.setattr(link, "answers", _Repeating(link.answers, ends))
    asyncio.run(client_of(recorder, link).put("counters", ROW, "k"))
    assert only(recorder).event == "e"
    said = {"id": "e", "operation": "UPDATE", "table_name": "counters", "data": ROW}
    log = [Record(0, 1, json.dumps(said).encode())]
    assert {v.rule for v in check_fates(recorder.history(), Model(log))} == found


class _Repeating(list[Answer | None]):
    """Answers in turn, and one for ever after them."""

    def __init__(self, answers: Sequence[Answer | None], last: Answer) -> None:
        super().__init__(answers)
        self.last = last

    def pop(self, index: Any = 0) -> Answer | None:
        return super().pop(index) if self else self.last


class Link:
    """A node that gives answers in turn, and keeps what it was asked."""

    port = 1

    def __init__(self, *answers: Answer | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    async def request(
        self, method: str, path: str, body: Any, headers: Any, wait_s: float
    ) -> Answer | None:
        self.asked.append((method, path, dict(headers or {})))
        return self.answers.pop(0)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(clients, "RETRY_S", 0)
    return Recorder()


def client_of(recorder: Recorder, *links: Link) -> Client:
    client = Client("c", [], recorder, random.Random(1), Tally())
    client._links = list(links)  # type: ignore[arg-type]
    return client


def only(recorder: Recorder) -> Operation:
    (operation,) = recorder.history()
    return operation


DONE = answer(201, ROW, clusterlite_event="e", clusterlite_token="c:7", etag='"7"')
AWAY = problem(503, "log_unreachable")


def test_a_write_with_a_key_is_sent_again_at_another_node(recorder: Recorder) -> None:
    first, second = Link(None), Link(DONE)
    asyncio.run(client_of(recorder, first, second).create("counters", {"n": 1}, "k"))
    operation = only(recorder)
    assert (operation.status, operation.event, operation.position) == ("done", "e", 7)
    assert operation.value == ROW
    assert first.asked == second.asked == [("POST", "/counters", {"Idempotency-Key": "k"})]


@pytest.mark.parametrize(("got", "status"), [(None, "unknown"), (AWAY, "failed")])
def test_a_write_without_a_key_is_sent_once(
    recorder: Recorder, got: Answer | None, status: str
) -> None:
    asyncio.run(client_of(recorder, Link(got)).create("counters", {"n": 1}))
    assert only(recorder).status == status


def test_a_write_that_was_refused_for_good_is_not_sent_again(recorder: Recorder) -> None:
    link = Link(problem(422, "key_reused"))
    asyncio.run(client_of(recorder, link).create("counters", {"n": 1}, "k"))
    assert only(recorder).status == "failed"


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([answer(200, {"status": "applied", "position": 4})], "done"),
        (
            [answer(200, {"status": "unseen"}), answer(200, {"status": "never", "position": 5})],
            "never",
        ),
        ([AWAY, AWAY, answer(200, {"status": "rejected", "code": "exists"})], "rejected"),
    ],
)
def test_what_is_unknown_is_settled_by_its_event(
    recorder: Recorder, answers: list[Answer], status: str
) -> None:
    link = Link(answer(504, clusterlite_event="e"), *answers)
    client = client_of(recorder, link)

    async def run() -> None:
        await client.create("counters", {"n": 1})
        assert only(recorder).status == "unknown"
        await client.settle()

    asyncio.run(run())
    assert only(recorder).status == status
    assert {path for _, path, _ in link.asked[1:]} <= {"/-/events/e", "/-/events/e/settle"}


def test_what_is_unknown_without_an_event_is_settled_by_its_key(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "TRIED_S", -1.0)
    client = client_of(recorder, Link(None, AWAY, DONE))

    async def run() -> None:
        await client.create("counters", {"n": 1}, "k")
        await client.settle()

    asyncio.run(run())
    assert (only(recorder).status, only(recorder).event) == ("done", "e")


def test_a_session_carries_the_newest_token_and_other_reads_none(recorder: Recorder) -> None:
    old = answer(200, ROW, clusterlite_token="c:6", etag='"5"')
    link = Link(DONE, old, old, old)
    client = client_of(recorder, link)

    async def run() -> None:
        await client.put("counters", ROW, condition={"version": 5})
        await client.read("counters", "a", "eventual")
        await client.read("counters", "a", "session")
        await client.list("counters", "strong")

    asyncio.run(run())
    assert [headers for _, _, headers in link.asked] == [
        {"If-Match": '"5"'},
        {},
        {"ClusterLite-Token": "c:7"},
        {},
    ]
    assert [(o.kind, o.level, o.position) for o in recorder.history()[1:]] == [
        ("read", "eventual", 6),
        ("read", "session", 6),
        ("list", "strong", 6),
    ]
    assert recorder.history()[0].request["if"] == {"version": 5}


class Counted(Workload):
    """Steps that are only counted."""

    name = "counted"
    table = "t"
    taken = 0

    async def step(self, client: Client) -> None:
        self.taken += 1
        await asyncio.sleep(0)

    def check(self, history: Sequence[Operation], rows: Rows) -> Iterator[str]:
        yield f"{len(history)} operations, {len(rows)} rows"


def test_clients_share_the_steps_of_a_load_and_end_when_they_are_told() -> None:
    load = Load([1], [Counted()], clients=3, seed=1, steps=10)
    asyncio.run(load.run())
    assert load.workloads[0].taken == 10  # type: ignore[attr-defined]
    endless = Load([1], [Counted()], clients=3, seed=1)
    endless.stopped = True
    asyncio.run(endless.run())
    assert endless.taken == 0


def test_a_workload_is_judged_by_the_operations_and_rows_of_its_own_table() -> None:
    load = Load([1], [Counted()], clients=1, seed=1)
    change = {"operation": "INSERT", "table_name": "t", "data": {"id": "a"}}
    load.recorder.begin("c", "read", {"table": "other", "key": "a"})
    load.recorder.begin("c", "read", {"table": "t", "key": "a"})
    load.recorder.begin("c", "transaction", {"changes": [change]})
    assert load.judge({"t": {"a": {}}, "other": {}}) == ["counted: 2 operations, 1 rows"]
