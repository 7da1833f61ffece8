"""What README shows is run as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Serve

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = r"<!-- {} -->\n```\w+\n(.*?)```"


def block(name: str) -> str:
    found = re.findall(BLOCK.format(re.escape(name)), README, re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


def tracked_sources() -> str:
    return subprocess.run(
        ["git", "status", "--porcelain", "--", "src"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_add_an_entity(tmp_path: Path) -> None:
    before = tracked_sources()
    (tmp_path / "shop.py").write_text(block("add-an-entity: file shop.py"))
    (arguments,) = re.findall(r'make run ARGS="([^"]*)"', block("add-an-entity: serve"))
    tries = block("add-an-entity: try").replace("\\\n", " ").strip().splitlines()
    with Serve(tmp_path / "data", arguments=tuple(arguments.split()), cwd=tmp_path) as node:
        answers = [curl(line, node) for line in tries]
        document = node.request("GET", "/-/openapi.json").json
    created, listed, put, read, schema = answers
    row = json.loads(created.rpartition("\n")[2])
    assert created.startswith("HTTP/1.1 201")
    assert row == {"id": row["id"], "name": "Mug", "sku": "M-1", "price": "12.30",
                   "tags": ["kitchen"]}  # fmt: skip
    assert json.loads(listed) == [row]
    assert json.loads(put) == json.loads(read)
    assert json.loads(read)["id"] == "mug-2"
    assert json.loads(schema)["title"] == "Product"
    assert {"/products", "/products/{id}"} <= set(document["paths"])
    assert tracked_sources() == before


def curl(line: str, node: Serve) -> str:
    """Run a line of the README against another port."""
    assert line.startswith("curl ")
    done = subprocess.run(
        ["sh", "-c", line.replace("curl ", "curl -sS ", 1).replace("127.0.0.1:8082", node.url[7:])],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.replace("\r\n", "\n")


def test_the_library(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(block("library"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "own.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "name='Ann'" in done.stdout


@pytest.mark.parametrize("command", ["run", "test", "cluster", "cluster-check"])
def test_the_commands_exist(command: str) -> None:
    assert f"make {command}" in README
    done = subprocess.run(
        ["make", "--dry-run", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
