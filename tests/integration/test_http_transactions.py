"""`POST /-/transaction`: many changes in one event, all or none, a result for each."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clusterlite.core.codec import CHANGES_MAX
from tests.http_node import check_problem, position
from tests.processes import Answer, Serve

ENTITIES = """
from clusterlite import Entity, Field


class Customer(Entity, table="customers"):
    name: str = Field(min_length=1)
    email: str = Field(unique=True)


class Order(Entity, table="orders"):
    customer: str = Field(references="customers")
    pieces: int = Field(1, ge=1)


class Account(Entity, table="accounts"):
    balance: int = Field(ge=0)
"""
PATH = "/-/transaction"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node with two workers that the tests share: each brings ids of its own."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(ENTITIES)
    arguments = ("--entities", "shop", "--workers", "2")
    with Serve(folder / "node", "", arguments, cwd=folder) as serve:
        yield serve


@pytest.fixture
def key() -> str:
    """A row's id or an idempotency key that no other test has."""
    return f"k-{uuid.uuid4().hex[:12]}"


def change(operation: str, table: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operation": operation, "table_name": table, "data": data, **more}


def customer(key: str, name: str = "Ann") -> dict[str, Any]:
    return {"id": key, "name": name, "email": f"{key}@example.com"}


def account(key: str, balance: int) -> dict[str, Any]:
    return {"id": key, "balance": balance}


def send(node: Serve, *changes: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return node.request("POST", PATH, {"changes": list(changes)}, headers)


def end(node: Serve) -> int:
    """The position of the last record of the log."""
    return int(node.request("GET", "/-/cluster").json["position"])


def version(answer: Answer) -> int:
    return int(answer.headers["etag"].strip('"'))


# What happens, and the answer.


def test_changes_of_several_tables_are_one_event_with_a_result_each(shop: Serve, key: str) -> None:
    old = shop.request("PUT", f"/accounts/{key}", account(key, 5))
    shop.request("PUT", f"/accounts/{key}-gone", account(f"{key}-gone", 1))
    before = end(shop)
    answer = send(
        shop,
        change("ASSERT", "accounts", {"id": key}, **{"if": {"version": version(old)}}),
        change("INSERT", "customers", customer(key)),
        change("INSERT", "orders", {"customer": key}),
        change("UPDATE", "accounts", account(key, 7)),
        change("DELETE", "accounts", {"id": f"{key}-gone"}),
    )
    assert answer.status == 200, answer
    written = before + 1
    assert (position(answer), end(shop)) == (written, written), "it is one record"
    document = answer.json
    order = document["changes"][2]["key"]
    assert uuid.UUID(order).version == 7
    event = answer.headers["clusterlite-event"]
    assert (document["id"], document["status"], document["position"]) == (event, "applied", written)
    assert document["changes"] == [
        {"operation": "ASSERT", "table": "accounts", "key": key, "created": False},
        {
            "operation": "INSERT", "table": "customers", "key": key, "created": True,
            "version": written, "row": customer(key),
        },
        {
            "operation": "INSERT", "table": "orders", "key": order, "created": True,
            "version": written, "row": {"id": order, "customer": key, "pieces": 1},
        },
        {
            "operation": "UPDATE", "table": "accounts", "key": key, "created": False,
            "version": written, "row": account(key, 7),
        },
        {"operation": "DELETE", "table": "accounts", "key": f"{key}-gone", "created": False},
    ]  # fmt: skip
    row = shop.request("GET", f"/accounts/{key}")
    assert (version(row), row.json) == (written, account(key, 7))
    assert shop.request("GET", f"/accounts/{key}-gone").status == 404
    told = shop.request("GET", f"/-/events/{event}").json
    assert [item.items() <= shown.items() for item, shown in zip(
        told["changes"], document["changes"], strict=True)] == [True] * 5  # fmt: skip


def test_minimal_leaves_out_the_rows_and_keeps_the_results(shop: Serve, key: str) -> None:
    minimal = {"Prefer": "return=minimal"}
    answer = send(shop, change("UPDATE", "accounts", account(key, 1)), headers=minimal)
    assert (answer.status, answer.headers["preference-applied"]) == (200, "return=minimal")
    (told,) = answer.json["changes"]
    assert (told["key"], told["created"], "row" in told) == (key, True, False)


def test_respond_async_answers_once_the_log_has_it(shop: Serve, key: str) -> None:
    sent = change("INSERT", "accounts", account(key, 1))
    answer = send(shop, sent, headers={"Prefer": "respond-async"})
    assert (answer.status, answer.body) == (202, b"")
    token = {"ClusterLite-Token": answer.headers["clusterlite-token"]}
    told = shop.request("GET", answer.headers["location"], headers=token).json
    assert (told["status"], told["changes"][0]["key"]) == ("applied", key)


# What has no effect.


@pytest.mark.parametrize(
    ("operation", "table", "data", "more", "status", "code", "pointer"),
    [
        ("INSERT", "accounts", {"id": "KEY", "balance": 1}, {}, 409, "exists", "/data/id"),
        ("INSERT", "accounts", {"balance": 1}, {"id": "KEY"}, 409, "exists", "/id"),
        ("DELETE", "accounts", {"id": "absent"}, {}, 404, "not_found", ""),
        (
            "ASSERT", "accounts", {"id": "KEY"}, {"if": {"version": 0}},
            412, "precondition_failed", "",
        ),
        (
            "ASSERT", "accounts", {"id": "KEY"}, {"if": {"absent": True}},
            412, "precondition_failed", "",
        ),
        (
            "ASSERT", "accounts", {"id": "no"}, {"if": {"present": True}},
            412, "precondition_failed", "",
        ),
        ("INSERT", "orders", {"customer": "no"}, {}, 409, "foreign_key", "/data/customer"),
        (
            "INSERT", "customers", {"name": "B", "email": "KEY@example.com"}, {},
            409, "unique", "/data/email",
        ),
        ("DELETE", "customers", {"id": "KEY"}, {}, 409, "foreign_key", ""),
    ],
)  # fmt: skip
def test_one_that_fails_undoes_all_and_is_named(
    shop: Serve,
    key: str,
    operation: str,
    table: str,
    data: dict[str, Any],
    more: dict[str, Any],
    status: int,
    code: str,
    pointer: str,
) -> None:
    there = send(
        shop,
        change("INSERT", "accounts", account(key, 1)),
        change("INSERT", "customers", customer(key)),
        change("INSERT", "orders", {"customer": key}),
    )
    data, more = ({k: v.replace("KEY", key) if type(v) is str else v for k, v in d.items()}
                  for d in (data, more))  # fmt: skip
    answer = send(
        shop,
        change("INSERT", "accounts", account(f"{key}-2", 1)),
        change(operation, table, data, **more),
        change("INSERT", "accounts", account(f"{key}-3", 1)),
    )
    document = check_problem(answer, status, code)
    assert document["change"] == 1
    assert [error["pointer"] for error in document["errors"]] == [f"/changes/1{pointer}"]
    if code == "exists" or more.get("if") in ({"version": 0}, {"absent": True}):
        assert document["version"] == position(there)
    if operation == "DELETE" and table == "customers":
        assert "orders.customer" in document["errors"][0]["message"]
    assert shop.request("GET", f"/accounts/{key}-2").status == 404
    assert shop.request("GET", f"/accounts/{key}-3").status == 404


INSERT = change("INSERT", "accounts", {"balance": 1})
REFUSED: dict[str, tuple[Any, str, str]] = {
    "no object": ([INSERT], "", "one member"),
    "another member": ({"changes": [INSERT], "x": 1}, "", "one member"),
    "no array": ({"changes": INSERT}, "/changes", "must be an array"),
    "none": ({"changes": []}, "/changes", "has 0 changes"),
    "too many": (
        {"changes": [{}] * (CHANGES_MAX + 1)},
        "/changes",
        f"has {CHANGES_MAX + 1} changes; a transaction has 1 to {CHANGES_MAX}",
    ),
    "a change that is none": ({"changes": [INSERT, 7]}, "/changes/1", "must be a JSON object"),
    "a member unknown": (
        {"changes": [{**INSERT, "table": "accounts"}]},
        "/changes/0",
        "did you mean table_name?",
    ),
    "an operation unknown": (
        {"changes": [change("UPSERT", "accounts", {})]},
        "/changes/0/operation",
        "must be one of INSERT, UPDATE, PATCH, DELETE, ASSERT",
    ),
    "a patch": (
        {"changes": [change("PATCH", "accounts", {"id": "a", "balance": "much"})]},
        "/changes/0/data/balance",
        "valid integer",
    ),
    "a table unknown": (
        {"changes": [change("DELETE", "acounts", {"id": "a"})]},
        "/changes/0/table_name",
        "did you mean accounts?",
    ),
    "a value": (
        {"changes": [INSERT, change("INSERT", "accounts", {"balance": -1})]},
        "/changes/1/data/balance",
        "greater than or equal to 0",
    ),
    "no id": (
        {"changes": [change("UPDATE", "accounts", {"balance": 1})]},
        "/changes/0/data/id",
        "UPDATE needs the id of a row",
    ),
    "two ids": (
        {"changes": [change("DELETE", "accounts", {"id": "a"}, id="b")]},
        "/changes/0/data/id",
        "must be 'b'",
    ),
    "a bad id": (
        {"changes": [change("DELETE", "accounts", {}, id="-b")]},
        "/changes/0/id",
        "not beginning with",
    ),
    "a removal with values": (
        {"changes": [change("DELETE", "accounts", {"id": "a", "balance": 1})]},
        "/changes/0/data",
        "takes the id alone",
    ),
    "a precondition of no form": (
        {"changes": [{**INSERT, "if": {"version": "1"}}]},
        "/changes/0/if",
        'must be one of {"version": n}',
    ),
    "a precondition of null": ({"changes": [{**INSERT, "if": None}]}, "/changes/0/if", "version"),
    "an ASSERT of nothing": (
        {"changes": [change("ASSERT", "accounts", {"id": "a"})]},
        "/changes/0/if",
        "ASSERT needs a precondition",
    ),
    "a second precondition": (
        {
            "changes": [
                change("DELETE", "accounts", {"id": "a"}, **{"if": {"version": 1}}),
                change("INSERT", "accounts", {"id": "a", "balance": 1}, **{"if": {"absent": True}}),
            ]
        },
        "/changes/1/if",
        "only the first change of a row carries a precondition",
    ),
}


@pytest.mark.parametrize(("body", "pointer", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_before_the_log_with_its_place(
    shop: Serve, body: Any, pointer: str, message: str
) -> None:
    before = end(shop)
    document = check_problem(shop.request("POST", PATH, body), 422, "invalid")
    (error,) = document["errors"]
    assert error["pointer"] == pointer
    assert message in error["message"]
    assert end(shop) == before


def test_other_refusals_are_those_of_every_write(shop: Serve, key: str) -> None:
    body = {"changes": [INSERT]}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    check_problem(shop.request("POST", PATH, b"changes=1", form), 415, "content_type")
    check_problem(shop.request("POST", PATH, b'{"changes": ['), 400, "malformed")
    check_problem(shop.request("POST", PATH, body, {"If-Match": '"1"'}), 400, "bad_precondition")
    check_problem(shop.request("GET", PATH), 405, "method_not_allowed")
    check_problem(shop.request("POST", f"{PATH}?x=1", body), 400, "unknown_parameter")
    wide = change("INSERT", "customers", customer(key, "x" * 1_010_000))
    refused = check_problem(send(shop, wide), 413, "record_too_large")
    assert "the limit is 1000000" in refused["detail"]
    check_problem(shop.request("POST", PATH, b" " * 2**21), 413, "too_large")


# Idempotency keys.


def test_a_key_sent_twice_has_one_effect_and_one_answer(shop: Serve, key: str) -> None:
    sent, keyed = change("INSERT", "accounts", {"balance": 1}), {"Idempotency-Key": key}
    first = send(shop, sent, headers=keyed)
    before = end(shop)
    second = send(shop, sent, headers=keyed)
    assert second.json == first.json
    assert second.headers["clusterlite-token"] == first.headers["clusterlite-token"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert end(shop) == before
    check_problem(send(shop, sent, sent, headers=keyed), 422, "key_reused")
    row = first.json["changes"][0]["key"]
    shop.request("PUT", f"/accounts/{row}", account(row, 2))
    third = send(shop, sent, headers=keyed)
    assert third.headers["preference-applied"] == "return=minimal"
    assert "row" not in third.json["changes"][0]
    assert third.json["changes"][0]["key"] == row


def test_a_rejection_is_replayed_and_an_assertion_alone_is_no_replay(shop: Serve, key: str) -> None:
    asserted = change("ASSERT", "accounts", {"id": key}, **{"if": {"absent": True}})
    keyed = {"Idempotency-Key": key}
    first = send(shop, asserted, headers=keyed)
    assert (first.status, "idempotency-replayed" in first.headers) == (200, False)
    gone = change("DELETE", "accounts", {"id": key})
    refused = [send(shop, gone, headers={"Idempotency-Key": f"{key}-2"}) for _ in range(2)]
    assert check_problem(refused[0], 404, "not_found") == check_problem(
        refused[1], 404, "not_found"
    )
    assert refused[1].headers["idempotency-replayed"] == "true"


# Under races.


def test_a_bank_keeps_its_total_at_every_list(shop: Serve, key: str) -> None:
    keys = [f"{key}-{number:02}" for number in range(50)]
    assert send(shop, *(change("INSERT", "accounts", account(k, 100)) for k in keys)).status == 200

    def balances() -> dict[str, int]:
        rows = shop.request("GET", "/accounts").json
        return {row["id"]: row["balance"] for row in rows if row["id"].startswith(key)}

    def client(number: int) -> int:
        chance, conflicts = random.Random(number), 0
        for _ in range(8):
            payer, payee = chance.sample(keys, 2)
            while True:
                moved: list[dict[str, Any]] = []
                for row, amount in ((payer, -1), (payee, 1)):
                    found = shop.request("GET", f"/accounts/{row}")
                    data = account(row, found.json["balance"] + amount)
                    held = {"if": {"version": version(found)}}
                    moved.append(change("UPDATE", "accounts", data, **held))
                answer = send(shop, *moved)
                if answer.status == 200:
                    break
                check_problem(answer, 412, "precondition_failed")
                conflicts += 1
            assert sum(balances().values()) == 5_000
        return conflicts

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(client, range(8)))
    assert sum(balances().values()) == 5_000
    assert set(balances().values()) != {100}


def test_a_counter_raised_by_compare_and_set_counts_every_success(shop: Serve, key: str) -> None:
    shop.request("PUT", f"/accounts/{key}", account(key, 0))

    def client(_: int) -> int:
        successes = 0
        for _ in range(13):
            found = shop.request("GET", f"/accounts/{key}")
            raised = account(key, found.json["balance"] + 1)
            held = {"if": {"version": version(found)}}
            answer = send(shop, change("UPDATE", "accounts", raised, **held))
            assert answer.status in {200, 412}, answer
            successes += answer.status == 200
        return successes

    with ThreadPoolExecutor(16) as clients:
        successes = sum(clients.map(client, range(16)))
    assert 0 < successes <= 208
    assert shop.request("GET", f"/accounts/{key}").json["balance"] == successes


def test_the_request_of_the_how_to_moves_the_amount(shop: Serve) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "transactions.md"
    (body,) = re.findall(r"<!-- request -->\n```json\n(.*?)```", page.read_text(), re.DOTALL)
    rows = [account("ann", 100), account("ben", 0)]
    made = send(shop, *(change("UPDATE", "accounts", row) for row in rows))
    request = body.replace("VERSION", str(position(made))).encode()
    assert shop.request("POST", PATH, request).status == 200
    found = [shop.request("GET", f"/accounts/{key}").json["balance"] for key in ("ann", "ben")]
    assert found == [70, 30]
    document = check_problem(shop.request("POST", PATH, request), 412, "precondition_failed")
    assert document["change"] == 0
