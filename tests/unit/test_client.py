"""The client where what answers is no node, or none answers definitely (I11)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clusterlite import ConfigError, InputError, NotServing, OutcomeUnknown
from clusterlite.client import Client, client
from clusterlite.client.address import PROBLEMS, Address, Answer, Lost
from clusterlite.core.keys import keyed_event_id

NODE, OTHER = "http://node", "http://other"
TOKEN = {"clusterlite-token": "c:7"}
LOGIN = Answer(302, {"location": "https://login.example.com"}, b"<html>log in</html>")
PAGE = Answer(200, {"content-type": "text/html"}, b"<html>we are back soon</html>")
FOREIGN = Answer(404, {"content-type": "application/json"}, b'{"code": 404, "message": "no"}')
CLUSTER = Answer(200, TOKEN, b'{"state": "ready"}')
STARTING = Answer(200, {}, b'{"state": "starting"}')

Asked = Callable[[str, str, str], Answer]
"""What is at an address: its url, a method and a path, and the answer."""


def problem(status: int, code: str, **more: Any) -> Answer:
    document = {"type": f"{PROBLEMS}#{code}", "code": code, "detail": f"it is {code}", **more}
    return Answer(status, {}, json.dumps(document).encode())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Asked], list[str]]:
    """Say what each address answers; the list is of what was asked."""
    monkeypatch.setattr(client, "SETTLE_S", 0.03)

    def use(answer: Asked) -> list[str]:
        asked: list[str] = []

        def ask(self: Address, method: str, path: str, *_: Any) -> Answer:
            asked.append(f"{method} {self.url}{path}")
            return answer(self.url, method, path)

        monkeypatch.setattr(Address, "ask", ask)
        return asked

    return use


def of_nobody(found: Answer) -> Asked:
    """All but the cluster's status is answered by something that is no node."""
    return lambda _, __, path: CLUSTER if path == "/-/cluster" else found


WRITES: dict[str, Callable[[Client], Any]] = {
    "create": lambda c: c.create("users", {"name": "Ann"}),
    "put": lambda c: c.put("users", "ann", {"name": "Ann"}),
    "patch": lambda c: c.patch("users", "ann", {"name": "Ann"}),
    "delete": lambda c: c.delete("users", "ann"),
    "transaction": lambda c: c.transaction([]),
}
READS: dict[str, Callable[[Client], Any]] = {
    "get": lambda c: c.get("users", "ann"),
    "list": lambda c: c.list("users"),
    "event": lambda c: c.event("e"),
}


@pytest.mark.parametrize("found", [LOGIN, PAGE, FOREIGN], ids=["login", "page", "foreign"])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_no_node_answered_is_unknown(
    answers: Callable[[Asked], list[str]], write: str, found: Answer
) -> None:
    answers(of_nobody(found))
    with Client([NODE], timeout_s=0.03) as client, pytest.raises(OutcomeUnknown):
        WRITES[write](client)


@pytest.mark.parametrize("found", [LOGIN, PAGE, FOREIGN], ids=["login", "page", "foreign"])
@pytest.mark.parametrize("read", READS)
def test_a_read_that_no_node_answered_has_no_answer(
    answers: Callable[[Asked], list[str]], read: str, found: Answer
) -> None:
    answers(of_nobody(found))
    with (
        Client([NODE], timeout_s=0.03) as client,
        pytest.raises(NotServing, match=f"{found.status}, which is no node's answer"),
    ):
        READS[read](client)


@pytest.mark.parametrize("at_other", [LOGIN, PAGE, FOREIGN, STARTING])
def test_what_is_no_node_or_has_no_log_yet_is_passed_over_for_the_next_address(
    answers: Callable[[Asked], list[str]], at_other: Answer
) -> None:
    def answer(url: str, method: str, _: str) -> Answer:
        if url == OTHER:
            return at_other
        return Answer(204, TOKEN, b"") if method == "DELETE" else CLUSTER

    asked = answers(answer)
    with Client([OTHER, NODE], timeout_s=5) as client:
        client.delete("users", "ann")
    assert asked[0] == f"GET {OTHER}/-/cluster"
    assert asked[-1] == f"DELETE {NODE}/users/ann"


def test_a_cluster_without_a_log_yet_is_said_to_start(
    answers: Callable[[Asked], list[str]],
) -> None:
    answers(lambda *_: STARTING)
    with (
        Client([NODE], timeout_s=0.03) as client,
        pytest.raises(NotServing, match="the node has found no log yet: starting"),
    ):
        client.create("users", {"name": "Ann"})


@pytest.mark.parametrize("key", [None, "order-17"])
def test_a_failed_look_at_the_cluster_puts_no_write_in_doubt(
    answers: Callable[[Asked], list[str]], key: str | None
) -> None:
    looks = iter([Answer(502, {}, b"<html>bad gateway</html>")])
    wrong = {"pointer": "/name", "code": "too_short", "message": "is empty"}

    def answer(_: str, method: str, __: str) -> Answer:
        if method == "GET":
            return next(looks, CLUSTER)
        return problem(422, "invalid", errors=[wrong])

    asked = answers(answer)
    with Client([NODE], timeout_s=5) as client, pytest.raises(InputError):
        client.create("users", {"name": ""}, key=key)
    assert asked[-1] == f"POST {NODE}/users", "what was never in doubt was settled"


def test_a_second_call_with_the_callers_key_does_not_deny_the_first(
    answers: Callable[[Asked], list[str]],
) -> None:
    first = Lost("the connection broke", sent=True)

    def answer(_: str, method: str, __: str) -> Answer:
        if method == "GET":
            return CLUSTER
        raise first

    answers(answer)
    with Client([NODE], timeout_s=0.03) as client:
        with pytest.raises(OutcomeUnknown) as lost:
            client.create("users", {"name": "Ann"}, key="order-17")
        answers(lambda *_: problem(503, "log_unavailable"))
        with pytest.raises(OutcomeUnknown) as refused:
            client.create("users", {"name": "Ann"}, key="order-17")
    assert lost.value.event_id == refused.value.event_id == keyed_event_id("c", "", "order-17")
    assert "it is log_unavailable" in str(refused.value.__cause__)


def test_without_a_node_an_own_key_may_have_been_written_by_an_earlier_call(
    answers: Callable[[Asked], list[str]],
) -> None:
    answers(lambda *_: problem(503, "not_serving"))
    with Client([NODE], timeout_s=0.03) as client:
        with pytest.raises(NotServing, match="an earlier one with its key may have: call again"):
            client.create("users", {"name": "Ann"}, key="order-17")
        with pytest.raises(NotServing, match="nothing was written"):
            client.create("users", {"name": "Ann"})


def test_a_write_that_no_node_took_did_not_happen_where_its_key_is_new(
    answers: Callable[[Asked], list[str]],
) -> None:
    answers(lambda _, method, __: CLUSTER if method == "GET" else problem(503, "not_serving"))
    with (
        Client([NODE], timeout_s=0.03, settle=False) as client,
        pytest.raises(NotServing, match="it did not happen"),
    ):
        client.create("users", {"name": "Ann"})


@pytest.mark.parametrize(
    "url",
    [
        "http://node-1:99999",
        "http://node-1:0",
        "http://node-1:x",
        "http://[::1",
        "http://",
        "ftp://node-1",
        "http://node-1/users",
        "http://node-1?x=1",
    ],
)
def test_what_is_no_address_is_said_with_one_that_is(url: str) -> None:
    with pytest.raises(
        ConfigError, match="is no address of a node, as http://node-1:8082"
    ) as wrong:
        Client(["http://node-1:8082", url])
    assert repr(url) in str(wrong.value)


@pytest.mark.parametrize("url", ["http://ann:secret@node-1:8082", "ann@node-1"])
def test_a_user_in_an_address_is_refused_and_the_password_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="the address of node-1 names a user") as wrong:
        Client([url])
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize("url", ["node-1:8082", "http://node-1", "https://[::1]:8082/"])
def test_an_address_may_do_without_scheme_and_port(url: str) -> None:
    Client([url]).close()
