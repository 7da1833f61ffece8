"""A node that can never serve as it is set up: its worker answers so, and nothing is written."""

from __future__ import annotations

from pathlib import Path

from clusterlite import Entity
from clusterlite.log.memory import MemoryLog, MemoryStore
from tests.app_node import AppNode
from tests.http_node import check_problem
from tests.processes import wait_until


class User(Entity, table="users"):
    name: str


class Account(Entity, table="accounts"):
    balance: int


class OtherAccount(Entity, table="accounts"):
    balance: str


def test_a_write_at_a_node_whose_schema_is_refused_did_not_happen(tmp_path: Path) -> None:
    store = MemoryStore()
    with AppNode(tmp_path / "a", MemoryLog(store), [User, Account]):
        pass
    log = MemoryLog(store)
    with AppNode(tmp_path / "b", log, [User, OtherAccount], ready=False) as served:
        wait_until(lambda: served.node.refused is not None)
        wait_until(lambda: served.request("GET", "/users").status == 200)
        end = store.end
        answer = served.request("POST", "/users", {"name": "Ann"})
        document = check_problem(answer, 503, "schema_refused")
        assert "the write did not happen" in document["detail"]
        assert "event" in document
        assert store.end == end
