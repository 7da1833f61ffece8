"""`clusterlite reset`: takes a node's replica away, and with consent its embedded log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clusterlite.cli.replicas import counted
from clusterlite.config import load_settings
from clusterlite.errors import ConfigError

if TYPE_CHECKING:
    from clusterlite.log.discard import DoomedLog

_SUFFIXES: Final = ("", "-journal", "-wal", "-shm")
LOCK_WAIT_S: Final = 1.0


def reset(
    data: Annotated[
        Path | None, typer.Option(help="The node's folder, as for serve; data by default.")
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(help="Delete this embedded log too, spelled out: file:data/log, say."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with the settings.")] = None,
) -> None:
    """Delete a stopped node's replica, so that its next start builds it from the log again.

    The log is the data, and is left alone unless --log names it: then all is
    gone, for every node on it. It says what would be deleted, and asks. Other
    files in the folder stay.
    """
    from clusterlite.replica.folder import DataFolder  # noqa: PLC0415 - few commands need SQLite

    path = load_settings({"data": data}, config).data
    if not path.is_dir():
        raise ConfigError(f"there is no data folder {path}; name the node's with --data")
    with ExitStack() as held:
        folder = DataFolder(path)
        if (path / "lock").exists() or list(replica_files(path)):
            folder.lock(LOCK_WAIT_S)
            held.callback(folder.unlock)
        doomed = None
        if log is not None:
            doomed = _take_log(log)
            held.callback(doomed.release)
        told = list(_told(path, doomed))
        if not told:
            typer.echo(f"there is no replica in {path}: nothing to delete")
            return
        for line in told:
            typer.echo(line)
        if not yes:
            ask("Delete it?", "nothing was deleted")
        _delete(path, doomed)
    typer.echo("deleted")


def _take_log(url: str) -> DoomedLog:
    """Hold an embedded log, so that what is told of it stays so until it is deleted."""
    from clusterlite.log.discard import DoomedLog  # noqa: PLC0415 - few commands need SQLite
    from clusterlite.log.open import log_file  # noqa: PLC0415

    file = log_file(url)
    if file is None:
        raise ConfigError(
            "only an embedded log (file:PATH) is deleted here. A Kafka topic is every node's data: "
            "who must, deletes it with Kafka's own tools"
        )
    return DoomedLog(file)


def replica_files(folder: Path) -> Iterator[Path]:
    """Every generation of the replica, with what SQLite keeps beside it; no other file."""
    for file in sorted(folder.glob("replica-*.db*")):
        name, dot, suffix = file.name.removeprefix("replica-").partition(".db")
        if name.isdigit() and dot and suffix in _SUFFIXES and not file.is_dir():
            yield file


def _told(path: Path, doomed: DoomedLog | None) -> list[str]:
    """Exactly what would be deleted; empty where that is nothing."""
    # To look into a replica may make files beside it: these are deleted and told too.
    held = {file: contents(file) for file in replica_files(path) if file.suffix == ".db"}
    files = list(replica_files(path))
    if not files and doomed is None:
        return []
    lines = [f"This deletes, of the node in {path.absolute()}:"]
    lines += [f"  {file.name}" + (f": {held[file]}" if file in held else "") for file in files]
    if not files:
        lines.append("  no replica, since there is none")
    if doomed is None:
        return [*lines, "The log stays: the next start builds the replica from it."]
    first, end = doomed.bounds
    return [
        *lines,
        f"and the log {doomed.path.absolute()}: {counted(end - first, 'event')}",
        "The log is the data: nothing can build it again, and every node on it loses all.",
    ]


def contents(file: Path) -> str:
    """How many rows a replica has, in words."""
    import apsw  # noqa: PLC0415 - few commands read files themselves

    from clusterlite.replica.database import open_reader, scalar  # noqa: PLC0415
    from clusterlite.replica.tables import load_tables  # noqa: PLC0415

    try:
        connection = open_reader(file)
        try:
            tables = load_tables(connection).values()
            counts = {
                table.schema.name: scalar(connection, f"SELECT count(*) FROM {table.name}")  # noqa: S608
                for table in tables
            }
        finally:
            connection.close()
    except apsw.Error as error:
        return f"its rows cannot be counted ({error})"
    listed = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return counted(sum(counts.values()), "row") + (f" ({listed})" if listed else "")


def ask(question: str, refused: str) -> None:
    """Go on only if somebody at a terminal says so.

    Args:
        question: to answer with yes or no.
        refused: what is said otherwise.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{refused}: say --yes, since nobody can be asked here")
    if not typer.confirm(question):
        typer.echo(refused)
        raise SystemExit(1)


def _delete(path: Path, doomed: DoomedLog | None) -> None:
    """The log first: a replica without its log halts, and never takes another log for its own."""
    try:
        if doomed is not None:
            doomed.delete()
        for file in list(replica_files(path)):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be deleted: {error.strerror}; what stands before it in the "
            "list is gone. Make its folder writable, then say reset again"
        ) from error
