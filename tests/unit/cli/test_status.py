"""`clusterlite status` tells nodes that differ."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from clusterlite.cli import commands


def node(position: int, running: str, cluster: str = "c") -> dict[str, Any]:
    return {"state": "ready", "cluster": cluster, "position": position, "hash": running}


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ([node(5, "aa"), node(5, "aa")], 0),
        ([node(5, "aa"), node(6, "bb")], 0),
        ([node(5, "aa"), node(5, "bb", "other")], 0),
        ([node(5, "aa"), node(5, "bb")], 1),
        ([node(5, "aa"), {**node(5, "aa"), "state": "lagging"}], 1),
    ],
)
def test_equal_positions_must_have_equal_hashes(
    nodes: list[dict[str, Any]], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(nodes)
    monkeypatch.setattr(commands, "_ask", lambda url: next(answers))
    done = CliRunner().invoke(commands.app, ["status", "a", "b"])
    assert done.exit_code == code
    assert ("at position 5 differ" in done.output) == (len({n["hash"] for n in nodes}) > 1 == code)
