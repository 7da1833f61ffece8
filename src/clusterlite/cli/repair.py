"""`clusterlite repair`: sets a bad replica aside, so that the next start builds it from the log.

Nothing is deleted, and the log is only looked at: whether it still has all that is needed.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from clusterlite.cli.replicas import counted
from clusterlite.cli.reset import LOCK_WAIT_S, ask, contents, replica_files
from clusterlite.config import load_settings
from clusterlite.errors import ConfigError

ASIDE: Final = "aside"


def repair(
    data: Annotated[Path, typer.Argument(help="The stopped node's data folder.")],
    log: Annotated[
        str | None,
        typer.Option(help="The log to rebuild from, as for serve; file:DATA/log by default."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with the settings.")] = None,
) -> None:
    """Set a stopped node's replica aside, so that its next start builds it from the log again.

    For a node that halted because its replica is damaged or wrong. The replica's
    files are moved into a folder beside it, and none is deleted. The log must
    have all of its events still; it is only looked at.
    """
    from clusterlite.replica.folder import DataFolder  # noqa: PLC0415 - few commands need SQLite

    if not data.is_dir():
        raise ConfigError(f"there is no data folder {data}; name the one of serve's --data")
    url = load_settings({"data": data, "log": log}, config).log_url
    if not list(replica_files(data)):
        raise ConfigError(f"there is no replica in {data}: nothing to set aside; start the node")
    folder = DataFolder(data)
    folder.lock(LOCK_WAIT_S)
    try:
        aside = _free(data)
        for line in _told(data, aside, url):
            typer.echo(line)
        if not yes:
            ask("Move it?", "nothing was moved")
        _move(data, aside)
    finally:
        folder.unlock()
    typer.echo(
        f"moved to {aside}. Start the node; once it is ready and equal to another "
        f"(clusterlite verify {data} --against URL), that folder may be deleted"
    )


def _told(data: Path, aside: Path, url: str) -> list[str]:
    """Exactly what would be moved, and what it is built from again."""
    replicas = [file for file in replica_files(data) if file.suffix == ".db"]
    log = _whole(url, replicas)
    # To look into a replica may make files beside it: these are moved and told too.
    held = {file: f": {contents(file)}" for file in replicas}
    return [
        f"This moves, of the node in {data.absolute()}, into {aside.name}/:",
        *(f"  {file.name}{held.get(file, '')}" for file in replica_files(data)),
        f"The next start builds the replica from {log}.",
    ]


def _whole(url: str, replicas: list[Path]) -> str:
    """The log in words, if it has all that these replicas were built from.

    Raises:
        ConfigError: it has not, or is another cluster's.
        LogError: it cannot be read now.
    """
    from clusterlite.cli.logs import cluster_of  # noqa: PLC0415 - loads what the log needs
    from clusterlite.log.open import make_look  # noqa: PLC0415

    try:
        opened = make_look(url)
    except ConfigError as error:
        raise ConfigError(
            f"{str(error).partition(';')[0]}: nothing was moved. Name this node's log with --log, "
            "as it was started"
        ) from error
    with closing(opened) as look:
        bounds, url = look.bounds(), look.url  # the look's own has no password
        cluster = "" if bounds.first else cluster_of(look)
    if bounds.first > 0:
        raise ConfigError(
            f"{url} begins at position {bounds.first:,}: what came before is gone, so no replica "
            "can be built from it. Nothing was moved. Give this node a copy of another stopped "
            "node's data folder"
        )
    if not bounds.end:
        raise ConfigError(f"{url} is empty: nothing was moved. Name this node's log with --log")
    for replica in replicas:
        position, own = _stands(replica)
        if own and cluster and own != cluster:
            raise ConfigError(
                f"{url} is the log of the cluster {cluster}, and {replica} of {own}: nothing was "
                "moved. Name this node's log with --log"
            )
        if position >= bounds.end:
            raise ConfigError(
                f"{url} ends at position {bounds.end - 1:,}, before the {position:,} that "
                f"{replica} has: nothing was moved. Restore the newer log, or name it with --log"
            )
    return f"{url}, which has {counted(bounds.end, 'record')}"


def _stands(replica: Path) -> tuple[int, str]:
    """Position and cluster of a replica; nothing is known of one that cannot be read."""
    import apsw  # noqa: PLC0415 - few commands read files themselves

    from clusterlite.replica.database import open_reader  # noqa: PLC0415
    from clusterlite.replica.state import load_state  # noqa: PLC0415

    try:
        with closing(open_reader(replica)) as connection:
            state = load_state(connection)
    except apsw.Error:
        return -1, ""
    return state.position, state.cluster


def _free(data: Path) -> Path:
    number = 1
    while os.path.lexists(data / f"{ASIDE}-{number}"):
        number += 1
    return data / f"{ASIDE}-{number}"


def _move(data: Path, aside: Path) -> None:
    """All files or none: a database without its write-ahead log lacks its latest commits.

    The database before its log: SQLite takes no old one for a new file.
    """
    moved: list[Path] = []
    try:
        aside.mkdir()
        for file in replica_files(data):
            file.rename(aside / file.name)
            moved.append(file)
    except OSError as error:
        left = _moved_back(moved, aside)
        stands = (
            f"{', '.join(left)} could not be moved back: move it from {aside} into {data} by hand"
            if left
            else "nothing was moved"
        )
        raise ConfigError(
            f"{error.filename} cannot be moved: {error.strerror}; {stands}. Make the folder "
            "writable, then say repair again"
        ) from error


def _moved_back(moved: list[Path], aside: Path) -> list[str]:
    """Undo; the names of those files that stay aside all the same."""
    left: list[str] = []
    for file in reversed(moved):
        try:
            (aside / file.name).rename(file)
        except OSError:
            left.append(file.name)
    if not left:
        with suppress(OSError):
            aside.rmdir()
    return left
