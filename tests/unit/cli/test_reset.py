"""`clusterlite reset`: deletes what it said it would, and only with consent."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

import pytest

from clusterlite import Node
from clusterlite.log.file import FileLog
from tests.cli import Done, cli, state
from tests.nodes import User

REPLICA = {"replica-1.db", "replica-1.db-shm", "replica-1.db-wal"}


class Terminal:
    """Standard input of somebody who answers."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return self.answer + "\n"


def asked(answer: str, patch: pytest.MonkeyPatch, *arguments: str | Path) -> Done:
    patch.setattr(sys, "stdin", Terminal(answer))
    patch.setattr("builtins.input", lambda *_: answer)
    return cli("reset", *arguments)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_replica_goes_and_the_log_brings_its_rows_back(stopped: Path) -> None:
    (stopped / "notes.txt").write_text("mine")
    (stopped / "replica-old.db").write_text("mine")
    (stopped / "replica-2.db.bak").write_text("mine")
    done = cli("reset", "--data", stopped, "--yes")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"This deletes, of the node in {stopped}:\n"
        "  replica-1.db: 2 rows (users 2)\n"
        "  replica-1.db-shm\n"
        "  replica-1.db-wal\n"
        "The log stays: the next start builds the replica from it.\n"
        "deleted\n"
    )
    left = names(stopped)
    assert not left & REPLICA
    assert {"lock", "log", "notes.txt", "replica-old.db", "replica-2.db.bak"} <= left
    with Node(stopped, entities=[User]) as node:
        assert [row.id for row in node.list(User)] == ["a", "b"]


def test_with_its_log_all_is_gone(stopped: Path) -> None:
    log = stopped / "log"
    done = cli("reset", "--data", stopped, "--log", f"file:{log}", "--yes")
    assert (done.code, done.err) == (0, "")
    assert f"and the log {log}: 4 events\n" in done.out
    assert "nothing can build it again, and every node on it loses all" in done.out
    assert names(stopped) == {"lock"}
    with Node(stopped, entities=[User]) as node:
        assert node.list(User) == []


def test_every_generation_goes(stopped: Path) -> None:
    (stopped / "replica-2.db").write_bytes(b"no database" * 100)
    done = cli("reset", "--data", stopped, "--yes")
    assert "replica-2.db: its rows cannot be counted (file is not a database)" in done.out
    assert not {name for name in names(stopped) if name.startswith("replica-")}


def test_without_a_terminal_it_needs_yes(stopped: Path) -> None:
    before = state(stopped)
    done = cli("reset", "--data", stopped)
    assert done.code == 2
    assert "This deletes" in done.out
    assert "nothing was deleted: say --yes, since nobody can be asked here" in done.err
    assert before.items() <= state(stopped).items()


@pytest.mark.parametrize("answer", ["n", ""])
@pytest.mark.parametrize("with_log", [False, True])
def test_at_a_terminal_no_is_no(
    answer: str, with_log: bool, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--log", f"file:{stopped / 'log'}"] if with_log else []
    done = asked(answer, monkeypatch, "--data", stopped, *options)
    assert done.code == 1
    assert done.out.endswith("nothing was deleted\n")
    with Node(stopped, entities=[User]) as node:  # the log opens as ever
        assert len(node.list(User)) == 2


def test_at_a_terminal_yes_is_yes(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("y", monkeypatch, "--data", stopped).code == 0
    assert not names(stopped) & REPLICA


def test_a_running_nodes_folder_is_refused(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterlite.cli.reset.LOCK_WAIT_S", 0.0)
    before = state(stopped)
    with (stopped / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cli("reset", "--data", stopped, "--yes")
    assert done.code == 2
    assert f"the data folder {stopped} belongs to a running node" in done.err
    assert state(stopped) == before


def test_a_log_that_another_node_follows_is_refused(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may idle: the log's file shows that it is open."""
    monkeypatch.setattr("clusterlite.log.discard._WAIT_MS", 50)
    other = FileLog(stopped / "log")
    other.open()
    done = cli("reset", "--data", stopped, "--log", f"file:{stopped / 'log'}", "--yes")
    other.close()
    assert done.code == 2
    assert f"the log {stopped / 'log'} is in use: stop every node on it" in done.err
    assert {"log", "replica-1.db"} <= names(stopped)
    with Node(stopped, entities=[User]) as node:
        assert len(node.list(User)) == 2


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("kafka://broker:9092/events", "only an embedded log (file:PATH) is deleted here"),
        ("memory:", "only an embedded log (file:PATH) is deleted here"),
        ("file:{}/none", "there is no log at {}/none"),
        ("file:{}/replica-1.db", "{}/replica-1.db is no log of ClusterLite; nothing is deleted"),
        ("file:{}/text", "{}/text cannot be read as a log: file is not a database"),
        ("log", "'log' names no log"),
    ],
)
def test_what_is_no_embedded_log_is_not_deleted(log: str, told: str, stopped: Path) -> None:
    (stopped / "text").write_text("x" * 5_000)
    done = cli("reset", "--data", stopped, "--log", log.format(stopped), "--yes")
    assert done.code == 2
    assert told.format(stopped) in done.err
    assert {"log", "text", "replica-1.db"} <= names(stopped)


def test_the_configured_log_is_never_deleted_unsaid(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERLITE_LOG", f"file:{stopped / 'log'}")
    assert cli("reset", "--data", stopped, "--yes").code == 0
    assert "log" in names(stopped)


def test_the_folder_is_the_configured_one(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERLITE_DATA", str(stopped))
    assert cli("reset", "--yes").code == 0
    assert not names(stopped) & REPLICA


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path) -> None:
    done = cli("reset", "--data", tmp_path, "--yes")
    assert done == (0, f"there is no replica in {tmp_path}: nothing to delete\n", "")
    assert names(tmp_path) == set()
    done = cli("reset", "--data", tmp_path / "none", "--yes")
    assert done.code == 2
    assert "there is no data folder" in done.err


def test_a_file_that_cannot_be_deleted_is_named(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    done = cli("reset", "--data", stopped, "--yes")
    assert done.code == 2
    assert f"{stopped / 'replica-1.db'} cannot be deleted: Permission denied" in done.err
