"""What the how-to for programs shows is run as it stands there: pytest, workers, threads."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.testing.cluster.kafka import free_ports
from tests.processes import Answer, request, wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "library.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"<!-- ([\w: .]+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL))
WORKERS = 2


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_tried_here() -> None:
    assert len(BLOCKS) == TEXT.count("```") // 2
    tried = {"pytest", "workers", "async", "unknown"}
    assert {name.partition(":")[0] for name in BLOCKS} == tried


def test_the_fixture_gives_each_test_a_database(tmp_path: Path) -> None:
    for name, code in BLOCKS.items():
        kind, _, file = name.partition(": file ")
        if kind == "pytest":
            (tmp_path / file).write_text(code)
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", cwd=tmp_path)
    assert "1 passed" in said


@pytest.mark.parametrize(("name", "printed"), [("async", "20 40\n"), ("unknown", "True\n")])
def test_a_program_runs_as_it_stands_and_again(tmp_path: Path, name: str, printed: str) -> None:
    (tmp_path / "program.py").write_text(BLOCKS[name])
    run("program.py", cwd=tmp_path)
    assert run("program.py", cwd=tmp_path) == printed


class Workers:
    """The application with its workers, as the page starts it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.folder = folder
        (folder / "app.py").write_text(BLOCKS["workers: file app.py"])
        command = BLOCKS["workers: run"].split()
        assert command[0] == "uvicorn"
        assert command[-1] == str(WORKERS)
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, "--port", str(self.port)],
                cwd=folder, stdout=output, stderr=output,
            )  # fmt: skip
        wait_until(lambda: self.said().count("startup complete") == WORKERS, self.said)

    def said(self) -> str:
        return (self.folder / "output").read_text()

    def request(self, method: str, path: str, body: object = None) -> Answer:
        return request(self.port, method, path, body)

    def seen_by_each(self, path: str) -> dict[int, object]:
        """What each worker answers to one question."""
        seen: dict[int, object] = {}

        def asked() -> bool:
            answer = self.request("GET", path).json
            seen[answer["pid"]] = answer["row"]
            return len(seen) == WORKERS

        wait_until(asked, self.said)
        return seen


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    workers = Workers(tmp_path_factory.mktemp("workers"))
    yield workers
    workers.process.send_signal(signal.SIGTERM)
    assert workers.process.wait(30) in {0, -signal.SIGTERM}, workers.said()


def test_each_worker_has_a_folder_and_every_write_is_in_all(workers: Workers) -> None:
    made = workers.request("POST", "/products", {"name": "Mug", "sku": "M-1"})
    assert made.status == 201, workers.said()
    row = made.json
    seen = workers.seen_by_each(f"/products/{row['id']}?fresh=1")
    assert list(seen.values()) == [row] * WORKERS
    assert os.getpid() not in seen
    folders = {file.parent.name for file in (workers.folder / "data").glob("*/replica-1.db")}
    assert folders == {f"worker-{number}" for number in range(WORKERS)}


def test_what_one_worker_has_taken_no_other_gives_again(workers: Workers) -> None:
    cup = {"name": "Cup", "sku": "C-1"}
    answers = [workers.request("POST", "/products", cup) for _ in range(4 * WORKERS)]
    assert [answer.status for answer in answers] == [201] + [409] * (len(answers) - 1)
    assert "another row has the same value in a unique field" in answers[-1].json["detail"]
