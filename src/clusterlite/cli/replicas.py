"""Commands that look into a replica's file: `sqlite`, `copy`, `verify`. None of them writes to it.

They are safe beside a running node.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from clusterlite.errors import ClusterLiteError, ConfigError

_FOLDER = "A node's data folder, or a replica's file in it."
_CURE = (
    "Stop the node, say clusterlite repair with its data folder, and start it again: it is rebuilt "
    "from the log"
)


def sqlite(
    data: Annotated[Path, typer.Argument(help=_FOLDER)],
    sql: Annotated[
        str | None, typer.Argument(help="Statements to run; without them a shell opens.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a row.")] = False,
) -> None:
    """Query a node's SQLite database with SQL, read only.

    What it reads is this node's present state. Nothing can be written by it:
    writes go through a node, and a copy is yours to change.
    """
    from clusterlite.cli.sql_shell import (  # noqa: PLC0415 - few commands read files themselves
        ReadingShell,
        open_to_look,
    )

    path = find_replica(data)
    with _readable(path):
        connection = open_to_look(path)
    try:
        shell = ReadingShell(connection, path, sys.stdout)
        if as_json:
            shell.command_mode(["jsonl"])
        went_well = shell.run(sql)
    finally:
        connection.close()
    if not went_well:
        raise SystemExit(1)


def copy(
    data: Annotated[Path, typer.Argument(help=_FOLDER)],
    file: Annotated[Path, typer.Argument(help="The SQLite file to make.")],
    with_bookkeeping: Annotated[
        bool,
        typer.Option("--with-bookkeeping", help="Keep position, outcomes and schemas (_cl_…)."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
) -> None:
    """Copy a node's tables into a plain SQLite file, for whatever program reads SQLite.

    One consistent state, also of a running node. The file gets its name once it
    is whole and on disk. Rows keep their column _version.
    """
    from clusterlite.replica.copy import copy_replica  # noqa: PLC0415 - few commands need SQLite

    path = find_replica(data)
    _refuse_ours(path.parent, file)
    with _readable(path):
        made = copy_replica(path, file, bookkeeping=with_bookkeeping, replace=force)
    rows = sum(made.rows.values())
    typer.echo(
        f"{file}: {counted(len(made.rows), 'table')}, {counted(rows, 'row')}, "
        f"{made.bytes:,} bytes, as at position {made.position}"
    )


def verify(
    data: Annotated[str, typer.Argument(help=_FOLDER + " With --against also a node's address.")],
    against: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Compare with the replica of the node at this address."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check that a replica's file is sound, or compare it with another node's.

    Prints the hash of its contents, which equal replicas at one position share.
    Ends with 1 where it is damaged. With --against it says where the two differ,
    and ends with 1 if they do, with 2 where that cannot be told.
    """
    from clusterlite.cli.against import is_url, verify_against  # noqa: PLC0415 - as above
    from clusterlite.replica.verify import verify as verify_file  # noqa: PLC0415 - as above

    if against is not None:
        file = None if is_url(data) else find_replica(Path(data))
        with _readable(file or Path(data)):
            verify_against(data, file, against, as_json=as_json)
        return
    if is_url(data):
        raise ConfigError(f"{data} is a node's address: say with --against what to compare it with")
    path = find_replica(Path(data))
    with _readable(path):
        found = verify_file(path)
    if as_json:
        typer.echo(json.dumps(found._asdict()))
    else:
        for name, value in found._asdict().items():
            typer.echo(f"{name:<9} {value}")
        rows = sum(found.rows.values())
        typer.echo(
            f"damaged: {path}. {_CURE}"
            if found.damage
            else f"good: {path} is sound at position {found.position}: "
            f"{counted(len(found.rows), 'table')}, {counted(rows, 'row')}"
        )
    if found.damage:
        raise SystemExit(1)


def find_replica(data: Path) -> Path:
    """The replica's file in a data folder, or the file that is named itself.

    Raises:
        ConfigError: there is none.
    """
    from clusterlite.replica.folder import DataFolder  # noqa: PLC0415 - as above

    path = DataFolder(data).replica if data.is_dir() else data
    if not path.is_file():
        raise ConfigError(
            f"there is no replica at {path}; name the folder that a node was served with (--data)"
        )
    return path


def counted(number: int, what: str) -> str:
    """A number of things in words: `1 row`, `2,000 rows`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into a line with a cure; ends with 1 where it is damaged.

    Raises:
        ConfigError: the file is no replica, or may not be opened.
        ClusterLiteError: it cannot be read now.
    """
    import apsw  # noqa: PLC0415 - few commands read files themselves

    try:
        yield
    except apsw.CantOpenError as error:
        raise ConfigError(
            f"{path} cannot be opened: {error}; do it as the user that the node runs as, who may "
            "write its folder: SQLite shares files beside it with the node"
        ) from error
    except apsw.SQLError as error:
        raise ConfigError(f"{path} is no replica: {error}; name a node's data folder") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        if not path.name.startswith("replica-"):
            raise ConfigError(
                f"{path} is no replica: {error}; name a node's data folder"
            ) from error
        sys.stderr.write(f"clusterlite: damaged: {path} cannot be read: {error}. {_CURE}\n")
        raise SystemExit(1) from error
    except apsw.Error as error:
        raise ClusterLiteError(f"{path} cannot be read: {error}; look at the disk") from error


def _refuse_ours(folder: Path, file: Path) -> None:
    """Keep a copy out of a data folder, and off a log."""
    if file.resolve().parent == folder.resolve():
        raise ConfigError(f"{file} lies in the node's data folder; name a file in another folder")
    if file.is_file() and _is_log(file):
        raise ConfigError(f"{file} is a log, from which nodes are rebuilt; name another file")


def _is_log(file: Path) -> bool:
    from clusterlite.errors import LogError  # noqa: PLC0415
    from clusterlite.log.look import FileLook  # noqa: PLC0415

    try:
        FileLook(file).close()
    except (ConfigError, LogError):
        return False
    return True
