"""What tests of the HTTP interface share: a node with some tables, and what an answer must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Answer, Serve

ENTITIES = """
from clusterlite import Entity, Field


class User(Entity, table="users"):
    name: str = Field(min_length=1, max_length=200)
    email: str = Field(min_length=1)


class Account(Entity, table="accounts"):
    email: str = Field(unique=True)
    age: int = 0


class Leaf(Entity, table="leaves"):
    number: int
"""

INNER_WORDS = re.compile(
    r'Traceback|File "|\.py\b|SELECT |INSERT INTO|UPDATE "|DELETE FROM|sqlite|apsw|UNIQUE c|_cl_',
    re.IGNORECASE,
)
"""What would show a client how the node is made: a stack, SQL, a library."""


def make_node(folder: Path, *arguments: str, log: str = "") -> Serve:
    """A node with the tables of `ENTITIES`, in a folder of its own; not started."""
    (folder / "shop.py").write_text(ENTITIES)
    return Serve(folder / "node", log, ("--entities", "shop", *arguments), cwd=folder)


@contextmanager
def http_node(folder: Path, *arguments: str, log: str = "") -> Iterator[Serve]:
    """A running one."""
    with make_node(folder, *arguments, log=log) as serve:
        yield serve


def user(name: str = "Ann", **more: Any) -> dict[str, Any]:
    return {"name": name, "email": "ann@example.com", **more}


def position(answer: Answer) -> int:
    """The position that an answer's token names."""
    return int(answer.headers["clusterlite-token"].rpartition(":")[2])


def check_problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem document, if the answer is one of the shape that every error has."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json
    assert document["type"] == f"/-/docs/problems#{code}"
    assert document["code"] == code
    assert document["status"] == status
    assert isinstance(document["title"], str)
    assert document["title"]
    assert isinstance(document["detail"], str)
    assert document["detail"]
    assert document["instance"].startswith("/")
    allowed = {"errors", "event", "position", "version", "change"}
    assert document.keys() - allowed == {"type", "title", "status", "detail", "instance", "code"}
    for error in document.get("errors", []):
        assert error.keys() == {"pointer", "code", "message"}
        assert error["pointer"] == "" or error["pointer"].startswith("/")
    told = answer.body.decode().replace(document["instance"].lstrip("/"), "")
    assert not INNER_WORDS.search(told), told
    return document
