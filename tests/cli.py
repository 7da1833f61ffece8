"""The command line in this process, as a shell sees it: an exit code and two texts."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

from clusterlite.cli import commands

ROWS = 3
"""Of the users that the `running` node of these tests has."""


class Done(NamedTuple):
    code: int
    out: str
    err: str


def cli(*arguments: str | Path) -> Done:
    """Run `clusterlite` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            commands.run([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int | None)
    return Done(code or 0, out.getvalue(), err.getvalue())


def state(folder: Path) -> dict[str, bytes]:
    """What stands in a node's files, but for what SQLite shares between processes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.endswith(("-shm", "lock"))
    }
