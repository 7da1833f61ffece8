"""`clusterlite copy`: a plain SQLite file, whole or not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from clusterlite import Node
from clusterlite.errors import ConfigError
from clusterlite.replica import copy as copying
from clusterlite.replica.copy import copy_replica
from clusterlite.replica.database import open_writer
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.verify import verify
from tests.cli import ROWS, cli, state
from tests.nodes import User, user


@contextmanager
def opened(file: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        yield connection
    finally:
        connection.close()


def rows(file: Path, sql: str) -> list[Any]:
    with opened(file) as connection:
        return connection.execute(sql).fetchall()


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_it_makes_one_plain_file_of_a_running_nodes_tables(running: Node, tmp_path: Path) -> None:
    before = state(running.data)
    file = tmp_path / "copy.sqlite"
    done = cli("copy", running.data, file)
    assert (done.code, done.err) == (0, "")
    size = file.stat().st_size
    assert done.out == (
        f"{file}: 2 tables, {ROWS} rows, {size:,} bytes, as at position {running.position}\n"
    )
    assert names(tmp_path) == {"copy.sqlite"}
    tables = rows(file, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    assert tables == [("orders",), ("users",)]
    assert rows(file, "SELECT id, name FROM users") == [("a", "a"), ("b", "b"), ("c", "c")]
    assert rows(file, "PRAGMA journal_mode") == [("delete",)]
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert state(running.data) == before


def test_no_node_takes_a_plain_copy_for_its_replica(running: Node, tmp_path: Path) -> None:
    file = tmp_path / "replica-1.db"
    cli("copy", running.data, file)
    with pytest.raises(Exception, match=r"replica_corrupt: .*replica-1\.db has file format 0"):
        open_writer(file)


def test_with_bookkeeping_it_has_the_same_contents(running: Node, tmp_path: Path) -> None:
    file = tmp_path / "copy.sqlite"
    assert cli("copy", running.data, file, "--with-bookkeeping").code == 0
    assert verify(file) == verify(DataFolder(running.data).replica)
    assert names(tmp_path) == {"copy.sqlite"}
    assert rows(file, "PRAGMA journal_mode") == [("delete",)]


def test_an_existing_file_is_replaced_only_with_force(running: Node, tmp_path: Path) -> None:
    file = tmp_path / "copy.sqlite"
    file.write_text("mine")
    done = cli("copy", running.data, file)
    assert done.code == 2
    assert f"{file} is there already; name another file, or say --force" in done.err
    assert file.read_text() == "mine"
    assert cli("copy", running.data, file, "--force").code == 0
    assert rows(file, "SELECT count(*) FROM users") == [(ROWS,)]


def test_a_file_that_came_meanwhile_is_not_overwritten(
    running: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "copy.sqlite"
    make = copying._make

    def slow(*arguments: Any, **named: Any) -> Any:
        made = make(*arguments, **named)
        file.write_text("mine")
        return made

    monkeypatch.setattr(copying, "_make", slow)
    done = cli("copy", running.data, file)
    assert done.code == 2
    assert "is there already" in done.err
    assert file.read_text() == "mine"
    assert names(tmp_path) == {"copy.sqlite"}


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("data/copy.sqlite", "lies in the node's data folder; name a file in another folder"),
        ("data/../data/log", "lies in the node's data folder"),
        ("folder", "is a folder; name a file in it"),
        ("none/copy.sqlite", "there is no folder"),
        ("in-use.db", "in-use.db-wal belongs to another SQLite file of that name"),
        ("crashed.db", "crashed.db-journal belongs to another SQLite file of that name"),
        ("logs/log", "is a log, from which nodes are rebuilt; name another file"),
    ],
)
def test_a_name_that_would_harm_something_is_refused_even_with_force(
    target: str, told: str, stopped: Path
) -> None:
    folder = stopped.parent
    (folder / "folder").mkdir()
    (folder / "in-use.db-wal").touch()
    (folder / "crashed.db-journal").touch()
    (folder / "logs").mkdir()
    (folder / "logs" / "log").write_bytes((stopped / "log").read_bytes())
    before = state(folder)
    done = cli("copy", stopped, folder / target, "--force")
    assert done.code == 2
    assert told in done.err
    assert {name: raw for name, raw in state(folder).items() if not name.endswith("-wal")} == {
        name: raw for name, raw in before.items() if not name.endswith("-wal")
    }


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (apsw.FullError("database or disk is full"), "there is no space for {}; nothing was made"),
        (OSError(28, "No space left on device"), "{} cannot be written: No space left on device"),
        (KeyboardInterrupt(), ""),
    ],
)
def test_what_fails_half_way_leaves_nothing(
    fault: BaseException, told: str, running: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(copying, "_name", fails)
    done = cli("copy", running.data, tmp_path / "copy.sqlite")
    assert done.code != 0
    assert told.format(tmp_path / "copy.sqlite") in done.err
    assert names(tmp_path) == set()


def test_the_file_is_on_disk_before_it_has_its_name(
    running: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, name = copying._sync, copying._name
    monkeypatch.setattr(copying, "_sync", lambda path: (steps.append(path.name), sync(path)))
    monkeypatch.setattr(copying, "_name", lambda *a, **k: (steps.append("its name"), name(*a, **k)))
    assert cli("copy", running.data, tmp_path / "copy.sqlite").code == 0
    assert steps == ["plain.db", "its name", tmp_path.name]


def test_a_copy_made_while_the_node_writes_is_one_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write adds a row to both tables' worth of bookkeeping: a torn copy would not verify."""
    monkeypatch.setattr(copying, "PAGES_A_STEP", 1)
    with Node(tmp_path / "data", entities=[User]) as node:
        for number in range(20):
            node.create(user(f"before-{number}"))
        ended = threading.Event()

        def write() -> None:
            number = 0
            while not ended.is_set():
                node.create(user(f"while-{number}"))
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            replica = DataFolder(node.data).replica
            for number in range(5):
                file = tmp_path / f"copy-{number}"
                made = copy_replica(replica, file, bookkeeping=True, replace=False)
                found = verify(file)
                assert not found.damage
                assert (found.position, found.rows) == (made.position, made.rows)
                # Two positions found the cluster and its table; every later one is a row.
                assert found.rows["users"] == found.position - 1
        finally:
            ended.set()
            writer.join()


def test_a_write_between_two_pages_neither_gets_in_nor_makes_it_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Node(tmp_path / "data", entities=[User]) as node:
        node.create(user("before"))
        position, steps = node.position, 0

        class Page:
            def __index__(self) -> int:
                nonlocal steps
                steps += 1
                node.create(user(f"while-{steps}"))
                return 1

        monkeypatch.setattr(copying, "PAGES_A_STEP", Page())
        file = tmp_path / "copy"
        made = copy_replica(DataFolder(node.data).replica, file, bookkeeping=True, replace=False)
        assert steps > 5
    assert (made.position, made.rows) == (position, {"users": 1})


def test_where_the_folder_cannot_be_written_it_is_said(
    running: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ConfigError, match="cannot be written: Permission denied"):
        copy_replica(
            DataFolder(running.data).replica, tmp_path / "x", bookkeeping=False, replace=False
        )


def test_a_file_system_without_hard_links_gets_its_copy(
    running: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert cli("copy", running.data, tmp_path / "x").code == 0
    assert names(tmp_path) == {"x"}
