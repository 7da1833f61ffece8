"""`serve --reload`: a changed entity is served at once, and one that cannot be is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Serve, wait_until

SHOP = """
from clusterlite import Entity, Field
class Thing(Entity, table="things"):
    name: str
"""
REFUSED = {
    SHOP + "    size int\n": (
        "the entities' module 'shop' does not import: SyntaxError: invalid syntax (shop.py, line 5)"
    ),
    SHOP.replace("name: str", "name: int"): (
        "field name of table things: type is 'text' in the log and cannot become 'integer'; "
        "declare a new field beside it and copy the values"
    ),
}


class Project:
    """A served folder whose files change."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "shop.py"
        self.module.write_text(SHOP)
        self.serve = Serve(
            folder / "node",
            arguments=("--entities", "shop", "--reload", "--workers", "2"),
            cwd=folder,
        )

    def save(self, source: str, event: str) -> dict[str, Any]:
        """Save the module; what `serve` says next under this name."""
        before = len(self.events(event))
        self.module.write_text(source)
        wait_until(lambda: len(self.events(event)) > before, self.serve.said)
        return self.events(event)[-1]

    def events(self, name: str) -> list[dict[str, Any]]:
        whole = self.serve.said().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    with project.serve:
        wait_until(lambda: bool(project.events("serving")), project.serve.said)
        yield project


def test_changed_entities_are_served_at_the_same_address(project: Project) -> None:
    serve = project.serve
    assert serve.request("POST", "/things", {"name": "mug"}).status == 201
    before = serve.children()
    reloaded = project.save(SHOP + "    size: int = 7\n", "reloaded")
    assert reloaded["files"] == ["shop.py"]
    assert 0 < reloaded["seconds"] < 30
    after = serve.children()
    assert {role: len(pids) for role, pids in after.items()} == {"node": 1, "worker": 2}
    assert not {*before["node"], *before["worker"]} & {*after["node"], *after["worker"]}
    serve.wait_ready()
    (row,) = serve.request("GET", "/things").json
    assert (row["name"], row["size"]) == ("mug", 7)


def test_what_cannot_be_served_is_told_and_the_page_goes_on_with_what_it_had(
    project: Project,
) -> None:
    serve = project.serve
    assert serve.request("POST", "/things", {"name": "mug"}).status == 201
    before = serve.children()
    for source, error in REFUSED.items():
        refused = project.save(source, "reload_refused")
        assert (refused["error"], refused["files"]) == (error, ["shop.py"])
        assert serve.children() == before
        assert [row["name"] for row in serve.request("GET", "/things").json] == ["mug"]
    project.save(SHOP + "    size: int = 7\n", "reloaded")


def test_what_only_the_log_refuses_waits_for_the_next_change(project: Project) -> None:
    serve = project.serve
    for _ in range(2):
        assert serve.request("POST", "/things", {"name": "mug"}).status == 201
    source = SHOP.replace("name: str", "name: str = Field(unique=True)")
    assert project.save(source, "reload_waits")["role"] == "node"
    assert serve.process is not None
    assert serve.process.poll() is None
    serve.wait_said("\nclusterlite: ")
    assert serve.request("POST", "/things", {"name": "cup"}).status == 503
    project.save(SHOP + "    size: int = 7\n", "reloaded")
    serve.wait_ready()
    assert len(serve.request("GET", "/things").json) == 2
