"""`POST /-/transaction`: many changes in one event, all or none, a result for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http_node import position
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
