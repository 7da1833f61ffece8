"""A SQL shell that cannot write: apsw's, with what is not reading taken out.

Four walls, each of which is enough for what it covers:

1. The connection is open for reading only, so nothing changes the replica.
2. `query_only` refuses temporary tables too.
3. An authorizer lets reading pass and nothing else: no ATTACH, no VACUUM INTO another file, no
   transaction that would stay open and keep the running node's WAL from being cut back.
4. Dot commands are a list of those that only show; the others open, write and run things.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TextIO

import apsw
import apsw.shell

from clusterlite.cli.records import clean
from clusterlite.replica.database import Connection, open_reader

COMMANDS: Final = frozenset(
    {
        *("bail", "color", "colour", "databases", "echo", "exit", "find", "header", "headers"),
        *("help", "indices", "mode", "nullvalue", "print", "prompt", "quit", "schema"),
        *("separator", "show", "tables", "timer", "version", "width"),
    }
)
"""The dot commands that stay."""

_TEXT_MAX: Final = 4096
_ACTIONS: Final = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}
)
_PRAGMAS: Final = frozenset(
    {
        *("application_id", "collation_list", "compile_options", "data_version", "database_list"),
        *("encoding", "foreign_keys", "freelist_count", "function_list", "journal_mode"),
        *("module_list", "page_count", "page_size", "pragma_list", "query_only"),
        *("schema_version", "table_list", "user_version"),
    }
)
"""Pragmas that may be asked; with a value they would set something."""

_PRAGMAS_OF_A_NAME: Final = frozenset(
    {
        *("foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo"),
        *("integrity_check", "quick_check", "table_info", "table_list", "table_xinfo"),
    }
)
"""Pragmas that take the name of what they describe."""

_REFUSED: Final = (
    "this shell only reads, and holds no transaction: write through a node, or to a copy "
    "(clusterlite copy)"
)

_INTRO: Final = """\
{path}, read only: the running node goes on. Statements end with a semicolon.
.tables lists the tables, .schema shows them, .help the rest; Ctrl-D ends.
"""


def open_to_look(path: Path) -> Connection:
    """A connection by which nothing can be written.

    Raises:
        apsw.Error: the file cannot be opened.
    """
    connection = open_reader(path)
    connection.authorizer = _authorize
    return connection


def _authorize(
    action: int, first: str | None, second: str | None, _schema: str | None, _by: str | None
) -> int:
    if action in _ACTIONS:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_PRAGMA and first is not None:
        name = first.lower()
        if name in _PRAGMAS_OF_A_NAME or (name in _PRAGMAS and second is None):
            return apsw.SQLITE_OK
    return apsw.SQLITE_DENY


class ReadingShell(apsw.shell.Shell):
    """A shell on a connection of `open_to_look`.

    Args:
        connection: is not closed by the shell.
        path: to show.
        output: where rows go, standard output by default.
    """

    def __init__(self, connection: Connection, path: Path, output: TextIO | None = None) -> None:
        super().__init__(stdout=output, db=connection)
        self.prompt = "clusterlite> "
        self.moreprompt = "        ...> "
        self.header = True
        self._intro = _INTRO.format(path=path)
        if self._using_a_terminal():
            self.box_options["string_sanitize"] = lambda text: clean(text, _TEXT_MAX)
        else:
            self.bail = True

    def __dir__(self) -> Iterable[str]:
        """Without the commands that are left out: help and completion list what is here."""
        return [name for name in super().__dir__() if _is_kept(name)]

    def run(self, sql: str | None = None) -> bool:
        """Run `sql`, or read and run statements until the input ends.

        Returns:
            Whether all went well; else what was wrong has been written.
        """
        try:
            if sql is None:
                self.cmdloop(intro=self._intro)
            else:
                self.process_complete_line(sql)
        except (apsw.Error, self.Error, ValueError) as error:
            if not getattr(error, "_handle_exception_saw_this", False):
                self.stderr.write(f"clusterlite: {error}\n")
            return False
        return True

    def process_command(self, command: str) -> None:
        """Run a dot command that only shows."""
        name = command.split(maxsplit=1)[0].removeprefix(".")
        if name not in COMMANDS:
            raise self.Error(
                f".{clean(name)} is not in this shell, which only reads; .help lists what is"
            )
        super().process_command(command)  # type: ignore[no-untyped-call]  # apsw has no types for it

    def process_sql(self, sql: str, *arguments: Any, **named: Any) -> None:
        """Run statements that only read."""
        try:
            super().process_sql(sql, *arguments, **named)
        except (apsw.AuthError, apsw.ReadOnlyError) as error:
            raise self.Error(_REFUSED) from error


def _is_kept(name: str) -> bool:
    return not name.startswith("command_") or name.removeprefix("command_") in COMMANDS
