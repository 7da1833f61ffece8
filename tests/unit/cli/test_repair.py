"""`clusterlite repair`: sets a replica aside and deletes nothing; the log is only looked at."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from clusterlite import Node
from clusterlite.cli import repair, reset
from clusterlite.log.file import FileLog
from tests.cli import cli, state
from tests.nodes import User, names, user


def rows(data: Path) -> list[str]:
    with Node(data, entities=[User]) as node:
        return names(node)


def test_the_replica_is_set_aside_whole_and_the_log_brings_its_rows_back(stopped: Path) -> None:
    before = state(stopped)
    done = cli("repair", stopped, "--yes")
    assert (done.code, done.err) == (0, "")
    moved, log, said = done.out.splitlines()[1], *done.out.splitlines()[-2:]
    assert moved == "  replica-1.db: 2 rows (users 2)"
    assert log == (
        f"The next start builds the replica from file:{stopped}/log, which has 4 records."
    )
    assert said.startswith(f"moved to {stopped}/aside-1. Start the node; ")
    after = state(stopped)
    assert after["log"] == before["log"]
    assert after["aside-1/replica-1.db"] == before["replica-1.db"]
    assert not list(stopped.glob("replica-*"))
    assert rows(stopped) == ["a", "b"]
    assert cli("verify", stopped / "aside-1").code == 0


def test_a_second_repair_leaves_the_first_one_alone(stopped: Path) -> None:
    assert cli("repair", stopped, "--yes").code == 0
    rows(stopped)
    assert "aside-2" in cli("repair", stopped, "--yes").out
    assert (stopped / "aside-1/replica-1.db").exists()
    assert rows(stopped) == ["a", "b"]


@pytest.mark.parametrize("kept", [0, 100, 5_000])
def test_a_damaged_file_is_set_aside_too(kept: int, stopped: Path) -> None:
    (replica,) = stopped.glob("replica-*.db")
    for file in stopped.glob("replica-*.db-*"):
        file.unlink()
    raw = replica.read_bytes()
    replica.write_bytes(raw[:kept] + b"\xaa" * (len(raw) - kept))
    assert cli("repair", stopped, "--yes").code == 0
    assert rows(stopped) == ["a", "b"]


def failing(monkeypatch: pytest.MonkeyPatch, *suffixes: str) -> None:
    """Let the disk refuse to move files into a place that ends like this."""
    rename = Path.rename

    def refusing(file: Path, target: Path) -> Path:
        if str(target).endswith(suffixes):
            raise OSError(errno.EIO, "Input/output error", str(file))
        return rename(file, target)

    monkeypatch.setattr(Path, "rename", refusing)


def test_a_replica_that_cannot_be_moved_whole_stays_whole(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stopped / "replica-1.db-wal").write_bytes(b"")
    before = state(stopped)
    with monkeypatch.context() as bad:
        failing(bad, "aside-1/replica-1.db-wal")
        done = cli("repair", stopped, "--yes")
    assert done.code == 2
    assert "replica-1.db-wal cannot be moved: Input/output error; nothing was moved" in done.err
    assert state(stopped).keys() >= before.keys()
    assert not list(stopped.glob("aside-*"))
    assert cli("repair", stopped, "--yes").code == 0
    assert {"replica-1.db", "replica-1.db-wal"} <= {f.name for f in stopped.glob("aside-1/*")}
    assert rows(stopped) == ["a", "b"]


def test_a_file_that_cannot_be_moved_back_is_named(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stopped / "replica-1.db-wal").write_bytes(b"")
    failing(monkeypatch, "aside-1/replica-1.db-wal", f"{stopped}/replica-1.db")
    said = cli("repair", stopped, "--yes").err
    assert "replica-1.db could not be moved back: move it from" in said
    assert (stopped / "aside-1/replica-1.db").exists()


def refused(data: Path, *arguments: str) -> str:
    before = state(data)
    done = cli("repair", data, *arguments)
    assert done.code == 2, done
    assert {name: held for name, held in state(data).items() if "-wal" not in name} == {
        name: held for name, held in before.items() if "-wal" not in name
    }
    assert not list(data.glob("aside-*"))
    return done.err


def test_without_a_terminal_it_needs_yes(stopped: Path) -> None:
    assert "nothing was moved: say --yes" in refused(stopped)


def test_a_running_nodes_folder_is_refused(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "LOCK_WAIT_S", 0.0)
    with Node(stopped, entities=[User]):
        assert "belongs to a running node" in cli("repair", stopped, "--yes").err
    assert reset.LOCK_WAIT_S > 0


def test_a_trimmed_log_builds_no_replica(stopped: Path) -> None:
    import apsw

    with apsw.Connection(str(stopped / "log")) as log:
        log.execute("UPDATE meta SET first = 2")
        log.execute("DELETE FROM record WHERE position < 2")
    log.close()
    assert "begins at position 2: what came before is gone" in refused(stopped, "--yes")


def test_another_clusters_log_builds_no_replica_of_this_one(stopped: Path, tmp_path: Path) -> None:
    with Node(tmp_path / "other", entities=[User]) as other:
        for name in "abcdef":
            other.create(user(name))
    assert "is the log of the cluster" in refused(
        stopped, "--yes", "--log", f"file:{tmp_path / 'other/log'}"
    )


def test_a_log_that_is_not_there_is_asked_for(stopped: Path, tmp_path: Path) -> None:
    said = refused(stopped, "--yes", "--log", f"file:{tmp_path / 'none'}")
    assert "there is no log at" in said
    assert not (tmp_path / "none").exists()


def test_an_older_log_is_refused(stopped: Path, tmp_path: Path) -> None:
    log = FileLog(tmp_path / "empty")
    log.open()
    log.close()
    assert "is empty: nothing was moved" in refused(
        stopped, "--yes", "--log", f"file:{tmp_path / 'empty'}"
    )


def test_a_folder_without_a_replica_is_told(tmp_path: Path) -> None:
    done = cli("repair", tmp_path, "--yes")
    assert done.code == 2
    assert "there is no replica in" in done.err
