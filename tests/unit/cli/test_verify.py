"""`clusterlite verify`: a verdict that a person understands."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from clusterlite import Node
from clusterlite.replica.folder import DataFolder
from tests.cli import ROWS, cli, state


def test_a_sound_replica_is_good(running: Node) -> None:
    before = state(running.data)
    done = cli("verify", running.data)
    path = DataFolder(running.data).replica
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == (
        f"good: {path} is sound at position {running.position}: 2 tables, {ROWS} rows"
    )
    assert state(running.data) == before


def test_json_is_one_object(running: Node) -> None:
    found = json.loads(cli("verify", running.data, "--json").out)
    assert found["rows"] == {"users": ROWS, "orders": 0}
    assert found["damage"] == []


@pytest.fixture
def replica(stopped: Path) -> Path:
    """Of a stopped node, all in its one file."""
    path = DataFolder(stopped).replica
    connection = apsw.Connection(str(path))
    connection.pragma("wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def test_a_damaged_replica_is_told_with_the_cure(replica: Path) -> None:
    with apsw.Connection(str(replica)) as connection:
        connection.pragma("writable_schema", True)
        connection.execute("DELETE FROM sqlite_schema WHERE name = '_cl_unique.users.email'")
    connection.close()
    done = cli("verify", replica.parent)
    assert done.code == 1
    last = done.out.splitlines()[-1]
    assert last.startswith(f"damaged: {replica}. Stop the node, say clusterlite repair")
    assert "rebuilt from the log" in last


@pytest.mark.parametrize("command", [["verify"], ["sqlite", "SELECT * FROM users"], ["copy", "x"]])
@pytest.mark.parametrize("kept", [0, 100])
def test_an_unreadable_replica_is_told_with_the_cure(
    command: list[str], kept: int, replica: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = replica.read_bytes()
    replica.write_bytes(raw[:kept] + b"\xaa" * (len(raw) - kept))
    name, *rest = command
    done = cli(name, replica.parent, *rest)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert f"damaged: {replica} cannot be read: " in done.err or name == "sqlite"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["log", "copy.sqlite"])
def test_what_is_no_replica_is_never_said_to_be_repaired(name: str, stopped: Path) -> None:
    file = stopped / name if name == "log" else stopped.parent / name
    cli("copy", stopped, stopped.parent / "copy.sqlite")
    done = cli("verify", file)
    assert done.code == 2
    assert f"{file} is no replica: no such table: _cl_" in done.err
    assert "repair" not in done.err


def test_a_replica_that_this_user_may_not_open_is_told(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise apsw.CantOpenError("unable to open database file")

    monkeypatch.setattr("clusterlite.replica.verify.open_reader", refuse)
    done = cli("verify", stopped)
    assert done.code == 2
    assert "do it as the user that the node runs as" in done.err
