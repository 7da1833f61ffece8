"""Commands that look into a node which serves at the same time, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.replica.verify import verify
from tests.cli import cli
from tests.processes import WAIT_S, Serve, wait_until


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with Serve(tmp_path_factory.mktemp("cli") / "data") as serve:
        yield serve


def create(node: Serve, name: str) -> None:
    answer = node.request("POST", "/users", {"name": name, "email": name})
    assert answer.status == 201, answer


@pytest.fixture
def load(node: Serve) -> Iterator[None]:
    """Writes, one after the other, for as long as the test runs."""
    ended = threading.Event()
    failed: list[AssertionError] = []

    def write() -> None:
        number = 0
        while not ended.is_set() and not failed:
            try:
                create(node, f"load-{number}")
            except AssertionError as error:
                failed.append(error)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    yield
    ended.set()
    writer.join(WAIT_S)
    assert failed == []


def test_log_tail_follows_what_is_written_and_ends_at_ctrl_c(node: Serve, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "clusterlite", "log", "tail", "--data", node.data, "-n", "1"]
    with output.open("wb") as file:
        tail = subprocess.Popen([*command, "-f"], stdout=file, stderr=file)
    try:
        wait_until(lambda: b"SCHEMA" in output.read_bytes(), output.read_text)
        create(node, "Followed")
        wait_until(lambda: b'"name": "Followed"' in output.read_bytes(), output.read_text)
    finally:
        tail.send_signal(signal.SIGINT)
        code = tail.wait(WAIT_S)
    assert code == 0, output.read_text()
    assert "Traceback" not in output.read_text()


@pytest.mark.usefixtures("load")
def test_copies_and_queries_are_whole_while_the_node_writes(node: Serve, tmp_path: Path) -> None:
    for number in range(3):
        file = tmp_path / f"copy-{number}"
        done = cli("copy", node.data, file, "--with-bookkeeping")
        assert done.code == 0, done
        assert verify(file).damage == []
        done = cli("sqlite", node.data, "SELECT count(*) >= 0 AS one FROM users")
        assert done == (0, "one\n1\n", "")
        assert cli("verify", node.data).out.splitlines()[-1].startswith("good: ")


def test_reset_leaves_a_serving_node_alone(node: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterlite.cli.reset.LOCK_WAIT_S", 0.0)
    done = cli("reset", "--data", node.data, "--log", f"file:{node.data / 'log'}", "--yes")
    assert done.code == 2
    assert "belongs to a running node" in done.err
    create(node, "After")


def test_status_shows_the_node(node: Serve) -> None:
    done = cli("status", node.url)
    assert done.code == 0, done
    assert node.url in done.out
    assert "ready" in done.out
