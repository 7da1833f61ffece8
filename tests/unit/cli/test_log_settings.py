"""`clusterlite settings`: the window is shown as a replica has it, and changed in the log."""

from __future__ import annotations

import json
from pathlib import Path

from clusterlite import Node
from tests.cli import cli
from tests.nodes import User, follows


def test_the_window_is_shown_and_changed_beside_a_running_node(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Node(data, entities=[User]) as node:
        shown = cli("settings", "--data", data)
        assert shown == (
            0,
            f"window_positions  1,000,000\nwindow_hours      24\nas at position {node.position}\n",
            "",
        )
        done = cli("settings", "--data", data, "--window-hours", "48", "--json")
        written = json.loads(done.out)
        assert (done.code, written["window_s"]) == (0, 48 * 3600)
        follows(node, written["position"])
        committed = node._runtime.applier.committed
        assert (committed.window_positions, committed.window_ms) == (1_000_000, 48 * 3_600_000)


def test_a_stopped_nodes_log_is_changed_and_every_replica_takes_it_over(stopped: Path) -> None:
    done = cli("settings", "--data", stopped, "--window-positions", "5000", "--window-hours", "1")
    assert done.code == 0
    assert done.out.startswith(f"written to file:{stopped}/log at position ")
    with Node(stopped, entities=[User]):
        pass
    with Node(stopped.with_name("later"), f"file:{stopped}/log", [User]):
        pass
    for data in (stopped, stopped.with_name("later")):
        found = json.loads(cli("settings", "--data", data, "--json").out)
        assert (found["window_positions"], found["window_s"]) == (5000, 3600)


def test_a_log_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = cli("settings", "--data", tmp_path, "--window-hours", "1")
    assert (done.code, done.out) == (2, "")
    assert "there is no log at" in done.err
    assert list(tmp_path.iterdir()) == []
