"""A log that is not the one that the replica followed stops the start, with the reason, and nothing
in the data folder is deleted (I10).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clusterlite import Halt, Node
from clusterlite.cli.commands import app
from clusterlite.log.file import FileLog
from tests.nodes import User, insert, names, put, user
from tests.processes import wait_until


class Starts:
    """A node on a file log, which a test changes between two starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        with self.node() as node:
            self.cluster = node.cluster
            node.create(user("ann"))

    def node(self, name: str = "a", cluster: str = "") -> Node:
        return Node(self.folder / name, FileLog(self.log), [User], cluster=cluster)

    def write(self, name: str) -> None:
        """Write with another node of the cluster."""
        with self.node("b") as node:
            node.create(user(name))

    def trim(self, position: int) -> None:
        log = FileLog(self.log)
        log.open()
        log.trim(position)
        log.close()

    def refused(self, node: Node) -> str:
        """The reason for which the node does not open; nothing of the folder may be gone."""
        before = sorted(self.folder.rglob("*.db"))
        with pytest.raises(Halt) as halt:
            node.open()
        assert set(before) <= set(self.folder.rglob("*.db"))
        return halt.value.reason


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path)


def test_another_log_under_the_folder_is_wrong(starts: Starts) -> None:
    starts.log = starts.log.with_name("other")
    with starts.node("c") as other:
        for name in ("x", "y", "z"):
            other.create(user(name))
    assert starts.refused(starts.node()) == "wrong_log"


def test_an_older_copy_of_the_log_is_rewound(starts: Starts) -> None:
    older = starts.log.read_bytes()
    with starts.node() as node:
        node.create(user("ben"))
    newer = starts.log.read_bytes()
    starts.log.write_bytes(older)  # the same inode: a copy in its place
    assert starts.refused(starts.node()) == "log_rewound"
    starts.log.write_bytes(newer)
    with starts.node() as node:
        assert sorted(names(node)) == ["ann", "ben"]


def test_an_older_copy_that_grew_again_is_another_log(starts: Starts) -> None:
    older = starts.log.read_bytes()
    with starts.node() as node:
        node.create(user("ben"))
    starts.log.write_bytes(older)
    starts.write("cleo")
    starts.write("dora")
    assert starts.refused(starts.node()) == "wrong_log"


def test_a_log_trimmed_beyond_the_replica_is_a_gap(starts: Starts) -> None:
    starts.write("ben")
    starts.write("cleo")
    with starts.node("b") as other:
        starts.trim(other.position)
    assert starts.refused(starts.node()) == "log_gap"


def test_a_log_trimmed_up_to_the_replica_is_none(starts: Starts) -> None:
    with starts.node() as node:
        position = node.position
    starts.write("ben")
    starts.trim(position + 1)
    with starts.node() as node:
        assert sorted(names(node)) == ["ann", "ben"]


def test_an_empty_replica_on_a_trimmed_log_is_a_gap_and_founds_nothing(starts: Starts) -> None:
    for first in (1, 3):
        starts.trim(first)
        assert starts.refused(starts.node(f"new-{first}")) == "log_gap"


def test_a_cluster_id_that_is_not_the_logs_is_a_wrong_log(starts: Starts) -> None:
    assert starts.refused(starts.node(cluster="another")) == "wrong_log"
    with starts.node(cluster=starts.cluster) as node:
        assert names(node) == ["ann"]


def test_a_configured_cluster_id_founds_the_cluster(tmp_path: Path) -> None:
    with Node(tmp_path / "a", "memory:", [User], cluster="mine") as node:
        assert node.cluster == "mine"


def test_a_newer_event_stops_each_start_until_the_build_knows_it(starts: Starts) -> None:
    log = FileLog(starts.log)
    log.open()
    with starts.node() as node:
        event = json.loads(insert(node, "e-new", "ben"))
    put(log, json.dumps({**event, "format": 2}).encode())
    log.close()
    for _ in range(2):
        assert starts.refused(starts.node()) == "too_new"


def test_a_copied_data_folder_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    with Node(tmp_path / "a", entities=[User]) as node:
        node.create(user("ann"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copied = tmp_path / "b" / "log"
    with pytest.raises(Halt, match=r"clusterlite adopt --moved") as halt:
        Node(tmp_path / "b", entities=[User]).open()
    assert halt.value.reason == "log_moved"
    refused = CliRunner().invoke(app, ["adopt", str(copied)])
    assert refused.exit_code == 2
    adopted = CliRunner().invoke(app, ["adopt", "--moved", str(copied)])
    assert adopted.exit_code == 0, adopted.output
    with Node(tmp_path / "b", entities=[User]) as node:
        assert names(node) == ["ann"]


def test_a_renamed_data_folder_is_the_same(tmp_path: Path) -> None:
    with Node(tmp_path / "a", entities=[User]) as node:
        node.create(user("ann"))
    (tmp_path / "a").rename(tmp_path / "b")
    with Node(tmp_path / "b", entities=[User]) as node:
        assert names(node) == ["ann"]


def test_what_was_applied_before_can_be_read_and_nothing_be_written(starts: Starts) -> None:
    starts.log = starts.log.with_name("other")
    with starts.node("c") as other:
        other.create(user("ben"))
    node = starts.node()
    node.open(wait=False)
    try:
        wait_until(lambda: node.status()["state"] == "halted")
        with pytest.raises(Halt, match="wrong_log"):
            node.create(user("cat"))
        assert names(node) == ["ann"]
    finally:
        node.close()
