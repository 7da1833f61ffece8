"""kill -9 of a program that embeds `Node`: each row that it was told of is there when the folder
is opened again (I1), none is there twice (I3), and nodes beside it never stop.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite import Node
from tests.nodes import User, user
from tests.processes import wait_until

PROGRAM = """
import sys, threading
from clusterlite import Node
from tests.nodes import User, user

def write(thread):
    number = 0
    while True:
        row = node.create(user(f"{name}/{thread}/{number}"))
        print(f"{row.id} {row.version} {row.name}\\n", end="", flush=True)
        number += 1

name, data, log = sys.argv[1:]
node = Node(data, log, [User])
node.open()
for thread in range(3):
    threading.Thread(target=write, args=(thread,)).start()
"""
WRITES_BEFORE_A_KILL = 200


class Program:
    """A process that creates rows on three threads and says which were acknowledged."""

    def __init__(self, name: str, data: Path, log: str) -> None:
        self.acknowledged: dict[str, tuple[int, str]] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, name, str(data), log],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # the last one may be cut by the kill
                key, version, name = line.split()
                self.acknowledged[key] = int(version), name

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.acknowledged) >= count or self._process.poll() is not None)
        assert self._process.poll() is None

    def kill(self) -> None:
        """kill -9; then all that it said is known. Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


def rows(node: Node) -> dict[str, tuple[int, str]]:
    found: list[User] = []
    while page := node.list(User, after=found[-1].id if found else "", limit=10_000):
        found += page
    assert len({row.name for row in found}) == len(found), "a write took effect twice"
    return {row.id: (row.version, row.name) for row in found}


def test_what_a_killed_program_was_told_is_there_after_each_kill(
    tmp_path: Path, programs: list[Program]
) -> None:
    told: dict[str, tuple[int, str]] = {}
    for name in ("first", "second", "third"):
        program = Program(name, tmp_path / "data", f"file:{tmp_path / 'log'}")
        programs.append(program)
        program.wait_for(WRITES_BEFORE_A_KILL)
        program.kill()
        told |= program.acknowledged
        with Node(tmp_path / "data", f"file:{tmp_path / 'log'}", [User]) as node:
            found = rows(node)
        lost = {key for key, row in told.items() if found.get(key) != row}
        assert not lost, f"acknowledged and lost: {sorted(lost)[:5]}"


def test_a_killed_neighbour_stops_nobody_and_both_replicas_are_equal(
    tmp_path: Path, programs: list[Program]
) -> None:
    log = f"file:{tmp_path / 'log'}"
    with Node(tmp_path / "survivor", log, [User]) as survivor:
        program = Program("victim", tmp_path / "victim", log)
        programs.append(program)
        program.wait_for(WRITES_BEFORE_A_KILL)
        program.kill()
        survivor.create(user("after the kill"))
        survivor.sync()
        assert program.acknowledged.items() <= rows(survivor).items()
        with Node(tmp_path / "victim", log, [User]) as again:
            again.sync()
            survivor.sync()
            assert rows(again) == rows(survivor)
            assert again.status()["hash"] == survivor.status()["hash"]
