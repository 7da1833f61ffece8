"""The how-to on retries: its program runs as it stands there, against a node."""

from __future__ import annotations

import re
from pathlib import Path

from clusterlite.client import Client
from tests.processes import Serve

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "retry-safely.md"
BLOCKS = re.findall(r"<!-- ([\w-]+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
ENTITIES = """
from clusterlite import Entity, Field


class User(Entity, table="users"):
    name: str
    email: str


class Order(Entity, table="orders"):
    user: str = Field(references="users")
    number: int
"""


def test_every_block_runs_in_the_order_of_the_page(tmp_path: Path) -> None:
    assert len(BLOCKS) == PAGE.read_text().count("```python") == 3
    (tmp_path / "shop.py").write_text(ENTITIES)
    with Serve(tmp_path / "node", "", ("--entities", "shop"), cwd=tmp_path) as node:
        namespace: dict[str, object] = {"__name__": "retries"}
        for name, code in BLOCKS:
            there = re.sub(r"http://node-\d:8082", node.url, code)
            exec(compile(there, f"{PAGE.name}: {name}", "exec", dont_inherit=True), namespace)
        client = namespace["client"]
        assert isinstance(client, Client)
        with client:
            (ann,) = client.list("users")
            assert (ann["name"], ann["email"]) == ("Anna", "anna@example.com")
            assert [order["number"] for order in client.list("orders")] == [17]
