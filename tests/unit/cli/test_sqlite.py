"""`clusterlite sqlite`: everybody may look, nobody can write."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import apsw
import pytest

from clusterlite import Node
from clusterlite.cli import commands
from clusterlite.cli.sql_shell import COMMANDS, ReadingShell, open_to_look
from clusterlite.replica.folder import DataFolder
from tests.cli import ROWS, cli, state
from tests.nodes import user

REFUSED = "this shell only reads, and holds no transaction"


def test_it_prints_rows(running: Node) -> None:
    done = cli("sqlite", running.data, "SELECT id, name FROM users; SELECT 1 AS one")
    assert done == (0, "id|name\na|a\nb|b\nc|c\none\n1\n", "")


def test_it_prints_rows_as_json(running: Node) -> None:
    done = cli("sqlite", running.data, "SELECT id, NULL n, x'00ff' b FROM users", "--json")
    assert done.code == 0
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert rows[0] == {"id": "a", "n": None, "b": "AP8="}
    assert len(rows) == ROWS


def test_the_replicas_file_may_be_named_itself(running: Node) -> None:
    path = DataFolder(running.data).replica
    assert cli("sqlite", path, "SELECT count(*) FROM users").out.split() == ["count(*)", str(ROWS)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM users",
        "UPDATE users SET name = 'x'",
        "INSERT INTO users VALUES ('x', 'x', 'x', 1)",
        "REPLACE INTO _cl_node SELECT * FROM _cl_node",
        "WITH old AS (SELECT id FROM users) DELETE FROM users WHERE id IN old",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE VIRTUAL TABLE temp.v USING dbstat",
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN x",
        "VACUUM",
        "VACUUM INTO '{}/made'",
        "ATTACH '{}/made' AS other",
        "ATTACH 'file:{}/data/replica-1.db?mode=rw' AS other",
        "DETACH main",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "SAVEPOINT s",
        "REINDEX",
        "ANALYZE",
        "PRAGMA query_only = 0",
        "PRAGMA journal_mode = delete",
        "PRAGMA user_version = 7",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA writable_schema = 1",
        "PRAGMA optimize",
        "SELECT 1; DELETE FROM users",
    ],
)
def test_no_statement_writes(sql: str, running: Node) -> None:
    folder = running.data.parent
    before = state(folder)
    done = cli("sqlite", running.data, sql.format(folder))
    assert done.code == 1
    assert REFUSED in done.err
    assert state(folder) == before


@pytest.mark.parametrize("sql", ["DELETE FROM users", "PRAGMA user_version = 7", "VACUUM"])
def test_each_wall_stands_by_itself(sql: str, running: Node) -> None:
    """Read-only and `query_only` hold without the authorizer, which holds without them."""
    path = DataFolder(running.data).replica
    connection = open_to_look(path)
    authorize = connection.authorizer
    connection.authorizer = None
    with pytest.raises(apsw.ReadOnlyError):
        connection.execute(sql)
    connection.close()
    loose = apsw.Connection(str(path))
    loose.authorizer = authorize
    with pytest.raises(apsw.AuthError):
        loose.execute(sql)
    loose.close()


@pytest.mark.parametrize(
    "command",
    [
        ".open {}/data/replica-1.db",
        ".backup {}/made",
        ".restore {}/made",
        ".output {}/made",
        ".shell touch {}/made",
        ".py open('{}/made', 'w')",
        ".load {}/made",
        ".import {}/made users",
        ".read {}/made",
        ".log {}/made",
        ".cd {}",
        ".connection 0",
        ".dbconfig defensive 0",
        '.o"pen" {}/made',
        ".",
    ],
)
def test_no_dot_command_leaves_the_shell(command: str, running: Node) -> None:
    folder = running.data.parent
    before = state(folder)
    done = cli("sqlite", running.data, command.format(folder))
    assert done.code == 1
    assert "is not in this shell, which only reads; .help lists what is" in done.err
    assert state(folder) == before


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (".tables", "users"),
        (".schema users", "CREATE TABLE"),
        (".databases", "replica-1.db"),
        (".indices users", "email"),
        (".find a@example.com", "users"),
        ("PRAGMA table_info(users)", "email"),
        ("PRAGMA integrity_check", "ok"),
        ("SELECT name FROM pragma_table_info('users')", "email"),
        ("EXPLAIN QUERY PLAN SELECT * FROM users", "SCAN users"),
        ("WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT 3) SELECT * FROM n", "3"),
    ],
)
def test_what_shows_still_works(command: str, told: str, running: Node) -> None:
    done = cli("sqlite", running.data, command)
    assert (done.code, done.err) == (0, "")
    assert told in done.out


def test_help_lists_only_what_is_there(running: Node) -> None:
    shown = cli("sqlite", running.data, ".help").err
    listed = {line.split()[0].removeprefix(".") for line in shown.splitlines() if line[:1] == "."}
    assert "tables" in listed
    assert {name.partition("(")[0] for name in listed} <= COMMANDS


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        (".mode 'x", "No closing quotation"),
        (".width a", "'a' is not a valid number"),
    ],
)
def test_a_mistake_is_a_line(sql: str, told: str, running: Node) -> None:
    done = cli("sqlite", running.data, sql)
    assert done.code == 1
    assert told in done.err


def test_a_row_that_the_output_cannot_spell_is_no_error(
    running: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with pytest.raises(SystemExit, match="0"):
        commands.run(["sqlite", str(running.data), "SELECT 'ö' AS x"])
    sys.stdout.flush()
    assert raw.getvalue() == b"x\n\\xf6\n"


def test_without_sql_it_runs_what_comes_in(running: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT count(*)\nFROM users;\n.tables order%\n"))
    done = cli("sqlite", running.data)
    assert done == (0, f"count(*)\n{ROWS}\norders\n", "")
    monkeypatch.setattr(sys, "stdin", io.StringIO("DELETE FROM users;\nSELECT 'on';\n"))
    done = cli("sqlite", running.data)
    assert (done.code, done.out) == (1, "")
    assert REFUSED in done.err


def test_at_a_terminal_a_mistake_does_not_end_it_and_no_row_steers_it(
    running: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = Terminal("DELETE FROM users;\nSELECT 'x' || char(27, 0x202e) AS evil;\n")
    output, errors = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr("readline.write_history_file", lambda _: None)
    monkeypatch.setattr("builtins.input", lambda _: typed.readline().rstrip("\n") or exit_())
    connection = open_to_look(DataFolder(running.data).replica)
    shell = ReadingShell(connection, Path("here.db"), output)
    shell.command_colour(["off"])
    assert shell.run()
    connection.close()
    assert "here.db, read only" in output.getvalue()
    assert REFUSED in errors.getvalue()
    assert r"x\x1b\u202e" in output.getvalue()


def exit_() -> str:
    raise EOFError


def test_no_transaction_stays_open(running: Node) -> None:
    """An open one would keep the node from cutting its WAL back."""
    connection = open_to_look(DataFolder(running.data).replica)
    shell = ReadingShell(connection, Path("here.db"), io.StringIO())
    assert shell.run("SELECT * FROM users LIMIT 1")
    assert not connection.in_transaction
    assert connection.txn_state("main") == apsw.SQLITE_TXN_NONE
    connection.close()


def test_a_node_goes_on_writing_beside_it(tmp_path: Path) -> None:
    with Node(tmp_path / "data", entities=[type(user("x"))]) as node:
        connection = open_to_look(DataFolder(node.data).replica)
        for number in range(3):
            node.create(user(f"n{number}"))
            assert connection.execute("SELECT count(*) FROM users").fetchall() == [(number + 1,)]
        connection.close()


@pytest.mark.parametrize(
    "command", [["sqlite", "{}", "SELECT 1"], ["copy", "{}", "x"], ["verify", "{}"]]
)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none", "there is no replica at {}; name the folder that a node was served with (--data)"),
        ("", "there is no replica at {}/replica-1.db"),
        ("text", "{} is no replica: file is not a database; name a node's data folder"),
    ],
)
def test_where_no_replica_is_it_is_said(
    command: list[str], name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "text").write_text("x" * 5_000)
    path = folder / name
    done = cli(*(word.format(path) for word in command))
    assert done.code == 2
    assert told.format(path) in done.err
    assert not (tmp_path / "x").exists()
