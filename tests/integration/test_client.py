"""The client over HTTP: it retries by itself, and each write has one effect (I3, I7, I11)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clusterlite import (
    Exists,
    InputError,
    KeyReused,
    NotFound,
    NotServing,
    OutcomeUnknown,
    PreconditionFailed,
    Rejected,
)
from clusterlite.client import Client, Refused
from clusterlite.client.address import PROBLEMS, Address, Answer, Lost
from clusterlite.core.keys import keyed_event_id
from clusterlite.testing.cluster.kafka import free_ports
from tests.http_node import make_node, user
from tests.processes import Serve, kill, wait_until

CREATES = 600


@pytest.fixture
def client(node: Serve) -> Iterator[Client]:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    with Client([nobody, node.url]) as opened:
        yield opened


def test_rows_are_written_and_read_past_a_node_that_is_not_there(client: Client) -> None:
    made = client.create("users", user("Ann"))
    assert client.get("users", made["id"]) == made
    put = client.put("users", made["id"], user("Ben"), if_version=made.version)
    assert (put["name"], put.version > made.version) == ("Ben", True)
    assert client.token.endswith(f":{put.version}")
    assert made["id"] in [row["id"] for row in client.list("users")]
    client.delete("users", made["id"], if_version=put.version)
    assert client.get("users", made["id"]) is None


def test_a_patch_changes_its_fields_alone_under_its_key_and_version(client: Client) -> None:
    made = client.create("accounts", {"email": "patched@example.com", "age": 7})
    row = client.patch("accounts", made["id"], {"age": 8}, if_version=made.version, key="client-p")
    assert row == {**made, "age": 8}
    assert row.version > made.version
    again = client.patch("accounts", row["id"], {"age": 8}, if_version=made.version, key="client-p")
    assert (again, again.version) == (row, row.version)
    with pytest.raises(KeyReused):
        client.patch("accounts", row["id"], {"age": 9}, if_version=made.version, key="client-p")
    with pytest.raises(PreconditionFailed) as failed:
        client.patch("accounts", row["id"], {"age": 9}, if_version=made.version)
    assert failed.value.version == row.version
    with pytest.raises(NotFound):
        client.patch("accounts", "nobody", {"age": 9})
    client.patch("accounts", row["id"], {"age": 10})
    late = client.patch("accounts", row["id"], {"age": 8}, if_version=made.version, key="client-p")
    assert (late, late.version) == ({"id": row["id"]}, row.version)


def test_a_transaction_tells_what_each_change_did(client: Client) -> None:
    ann = client.put("accounts", "ann", {"email": "ann@x", "age": 7})
    changes: list[dict[str, Any]] = [
        {
            "operation": "PATCH",
            "table_name": "accounts",
            "id": "ann",
            "data": {"age": 8},
            "if": {"version": ann.version},
        },
        {"operation": "INSERT", "table_name": "users", "data": user("Tina")},
        {"operation": "ASSERT", "table_name": "accounts", "id": "x", "if": {"absent": True}},
    ]
    patched, made, asserted = client.transaction(changes, key="client-t")
    assert patched[:4] == ("PATCH", "accounts", "ann", False)
    assert patched.row == {**ann, "age": 8}
    assert patched.row == client.get("accounts", "ann")
    assert patched.row.version == int(client.token.rpartition(":")[2])
    assert (made.created, made.row) == (True, client.get("users", made.key))
    assert asserted.row is None
    assert client.transaction(changes, key="client-t") == [patched, made, asserted]
    with pytest.raises(PreconditionFailed) as failed:
        client.transaction([changes[1], changes[0]])
    assert (failed.value.index, failed.value.version) == (1, patched.row.version)
    with pytest.raises(InputError) as wrong:
        client.transaction([{**changes[0], "data": {"age": "old"}}])
    assert wrong.value.problems[0].pointer == "/changes/0/data/age"
    client.delete("accounts", "ann")
    again = client.transaction(changes, key="client-t")
    assert [one[:4] for one in again] == [patched[:4], made[:4], asserted[:4]]
    assert [one.row for one in again] == [None] * 3


def test_a_list_follows_its_pages(client: Client) -> None:
    for number in range(5):
        client.put("leaves", f"leaf-{number}", {"number": number})
    assert [row["number"] for row in client.list("leaves", limit=2)] == [0, 1]
    assert [row["number"] for row in client.list("leaves")] == list(range(5))
    for number in range(5):
        client.delete("leaves", f"leaf-{number}")  # other modules list the table too


def test_what_is_refused_has_the_errors_of_the_library(client: Client) -> None:
    made = client.put("users", "taken", user())
    with pytest.raises(Exists) as exists:
        client.create("users", user(id="taken"))
    assert (exists.value.version, exists.value.field) == (made.version, "id")
    found = client.outcome(exists.value.event_id)
    assert found is not None
    assert found.code == "exists"
    with pytest.raises(InputError) as invalid:
        client.create("users", user(""))
    assert invalid.value.problems[0].pointer == "/name"
    with pytest.raises(Refused, match="no_such_table"):
        client.get("usrs", "x")


def test_a_key_of_the_callers_is_repeated_refused_and_closed(client: Client) -> None:
    first = client.create("users", user("Ann"), key="client-1")
    assert client.create("users", user("Ann"), key="client-1") == first
    with pytest.raises(KeyReused):
        client.create("users", user("Ben"), key="client-1")
    cluster = client.token.rpartition(":")[0]
    assert client.settle(keyed_event_id(cluster, "", "client-2")).verdict == "never"
    with pytest.raises(Rejected) as closed:
        client.create("users", user("Ann"), key="client-2")
    assert closed.value.rejection == "never"


def test_without_any_node_nothing_happened(tmp_path: Path) -> None:
    with (
        Client([f"http://127.0.0.1:{free_ports(1)[0]}"], timeout_s=0.2) as client,
        pytest.raises(NotServing, match="nothing was written"),
    ):
        client.create("users", user())


def test_creates_through_kills_of_both_nodes_end_as_one_row_each(tmp_path: Path) -> None:
    """kill -9 of workers and whole nodes that share a log: N creates are N rows."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    nodes = [make_node(folder, log=f"file:{tmp_path / 'log'}") for folder in folders]
    done: list[str] = []
    stop = threading.Event()

    def kills() -> None:
        for number in range(4):
            goal = min(len(done) + CREATES // 8, CREATES)
            wait_until(lambda goal=goal: len(done) >= goal or stop.is_set())
            if number % 2:
                victim = nodes[number // 2]
                victim.kill()
                victim.start()
                continue
            for serve in nodes:  # its node process goes on, and nobody hears what it did
                for pid in serve.children()["worker"]:
                    kill(pid)

    urls = [serve.url for serve in nodes]
    with nodes[0], nodes[1], Client(urls, timeout_s=60) as client:

        def create(number: int) -> None:
            done.append(client.create("users", user(f"n-{number}"))["id"])

        with ThreadPoolExecutor(9) as threads:
            killing = threads.submit(kills)
            try:
                list(threads.map(create, range(CREATES)))
            finally:
                stop.set()
            killing.result()
        rows = client.list("users")
        assert sorted(row["name"] for row in rows) == sorted(f"n-{n}" for n in range(CREATES))
        assert {row["id"] for row in rows} == set(done)


def lose(
    client: Client, monkeypatch: pytest.MonkeyPatch, *, arrives: bool, place: str = "/users"
) -> None:
    """No answer to a write there comes back; the request itself arrives or not."""
    ask = Address.ask

    def lossy(self: Address, method: str, path: str, *more: Any) -> Any:
        if path != place or arrives:
            answer = ask(self, method, path, *more)
        if path == place:
            raise Lost("the connection broke", sent=True)
        return answer

    client.timeout_s = 0.3
    monkeypatch.setattr(Address, "ask", lossy)


def test_a_write_whose_answers_are_lost_is_settled_to_what_it_did(
    node: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client([node.url]) as client:
        lose(client, monkeypatch, arrives=True)
        made = client.create("users", user("Lost"))
        monkeypatch.undo()
        assert client.get("users", made["id"]) == made
        assert [row["name"] for row in client.list("users")].count("Lost") == 1
        lose(client, monkeypatch, arrives=True, place=f"/users/{made['id']}")
        row = client.patch("users", made["id"], {"name": "Found"})
        lose(client, monkeypatch, arrives=True, place="/-/transaction")
        change = {"operation": "PATCH", "table_name": "users", "data": {"id": made["id"]}}
        (done,) = client.transaction([change])
        monkeypatch.undo()
        assert row["id"] == made["id"]
        assert row.version > made.version
        assert done == ("PATCH", "users", made["id"], False, None)
        assert client.get("users", made["id"]) == {**made, "name": "Found"}


@pytest.mark.parametrize("status", [200, 400, 404, 413])
def test_what_a_proxy_answers_to_settle_leaves_the_outcome_unknown(
    node: Serve, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    ask = Address.ask

    def proxied(self: Address, method: str, path: str, *more: Any) -> Any:
        if path.endswith("/settle") and self.url == "http://proxy":
            return Answer(status, {"content-type": "text/html"}, b"<html>no</html>")
        return ask(self, method, path, *more)

    monkeypatch.setattr(Address, "ask", proxied)
    with Client(["http://proxy"], timeout_s=0.3) as client, pytest.raises(OutcomeUnknown) as open_:
        client.settle("client-s")
    assert open_.value.event_id == "client-s"
    with Client(["http://proxy", node.url]) as client:
        assert client.settle("client-s").verdict == "never"


def test_a_503_that_no_node_gave_promises_nothing(
    node: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Address.ask

    def proxied(self: Address, method: str, path: str, *more: Any) -> Any:
        answer = ask(self, method, path, *more)
        return Answer(503, {}, b"<html>busy</html>") if path == "/users" else answer

    monkeypatch.setattr(Address, "ask", proxied)
    with Client([node.url], timeout_s=0.3, settle=False) as client:
        with pytest.raises(OutcomeUnknown) as unknown:
            client.create("users", user("Behind a proxy"))
        assert client.settle(unknown.value.event_id).verdict == "applied"


def test_a_write_that_never_arrived_is_closed_before_it_is_said_not_to_have_happened(
    node: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client([node.url]) as client:
        lose(client, monkeypatch, arrives=False)
        with pytest.raises(NotServing, match="it is closed and never happens"):
            client.create("users", user("Never"))
        monkeypatch.undo()
        assert "Never" not in [row["name"] for row in client.list("users")]


def test_a_refusal_says_nothing_of_an_earlier_try_that_is_in_the_log(
    node: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Address.ask
    tries: list[int] = []

    def lossy(self: Address, method: str, path: str, *more: Any) -> Any:
        if path != "/users":
            return ask(self, method, path, *more)
        tries.append(len(tries))
        if len(tries) == 1:
            ask(self, method, path, *more)
            raise Lost("the connection broke", sent=True)
        problem = {"type": f"{PROBLEMS}#foreign_host", "code": "foreign_host", "detail": "no"}
        return Answer(403, {}, json.dumps(problem).encode())

    with Client([node.url]) as client:
        monkeypatch.setattr(Address, "ask", lossy)
        made = client.create("users", user("Refused"))
        monkeypatch.undo()
        assert client.get("users", made["id"]) == made


@pytest.mark.parametrize(("settle", "key"), [(False, None), (True, "client-9")])
def test_an_unknown_outcome_names_its_event_where_it_is_not_settled(
    node: Serve, monkeypatch: pytest.MonkeyPatch, settle: bool, key: str | None
) -> None:
    with Client([node.url], settle=settle) as client:
        lose(client, monkeypatch, arrives=True)
        with pytest.raises(OutcomeUnknown) as unknown:
            client.create("users", user("Open"), key=key)
        monkeypatch.undo()
        assert client.settle(unknown.value.event_id).verdict == "applied"


def test_after_a_kill_the_callers_key_may_be_sent_again(tmp_path: Path) -> None:
    serve = make_node(tmp_path)
    with serve, Client([serve.url], timeout_s=1) as client:
        client.create("users", user("Ann"))
        serve.kill()
        with pytest.raises((OutcomeUnknown, NotServing)):
            client.create("users", user("Ben"), key="client-3")
        serve.start()
        client.create("users", user("Ben"), key="client-3")
        assert sorted(row["name"] for row in client.list("users")) == ["Ann", "Ben"]
