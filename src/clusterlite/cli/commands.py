"""The commands of `clusterlite`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import clusterlite
from clusterlite.cli import logs, project, replicas
from clusterlite.cli.banner import print_banner, print_farewell
from clusterlite.cli.events import event
from clusterlite.cli.log_settings import settings as log_settings
from clusterlite.cli.repair import repair
from clusterlite.cli.reset import reset
from clusterlite.cli.status import status
from clusterlite.config import Settings, load_settings
from clusterlite.errors import ClusterLiteError

EXIT_USAGE = 2

app = typer.Typer(
    help="Distributed SQLite: every node a whole database, every write an event in one log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run a command line, the process's by default; errors of ours are a line, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # rows may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        app(arguments)
    except ClusterLiteError as error:
        fail(str(error))


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Say what is wrong and end."""
    sys.stderr.write(f"clusterlite: {message}\n")
    raise SystemExit(code)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(clusterlite.__version__)
        raise typer.Exit


def _help(name: str) -> str:
    """What a setting is for, its default, and its name in the environment."""
    field = Settings.model_fields[name]
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = f" Default: {default}." if default not in {"", None, False} else ""
    return f"{field.description}{shown} Environment: CLUSTERLITE_{name.upper()}."


def _examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """What may stand before any command."""


@app.command(
    epilog=_examples(
        "clusterlite serve",
        "clusterlite serve --entities shop --log kafka://broker-1:9092,broker-2:9092/events",
    )
)
def serve(
    host: Annotated[str | None, typer.Option(help=_help("host"))] = None,
    port: Annotated[int | None, typer.Option(help=_help("port"))] = None,
    data: Annotated[Path | None, typer.Option(help=_help("data"))] = None,
    log: Annotated[str | None, typer.Option(help=_help("log"))] = None,
    node_id: Annotated[str | None, typer.Option(help=_help("node_id"))] = None,
    cluster: Annotated[str | None, typer.Option(help=_help("cluster"))] = None,
    workers: Annotated[int | None, typer.Option(help=_help("workers"))] = None,
    entities: Annotated[list[str] | None, typer.Option(help=_help("entities"))] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help=_help("allow_origin"))] = None,
    reload: Annotated[bool | None, typer.Option("--reload", help=_help("reload"))] = None,
    log_format: Annotated[str | None, typer.Option(help=_help("log_format"))] = None,
    access_log: Annotated[bool | None, typer.Option(help=_help("access_log"))] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with these settings.")] = None,
) -> None:
    """Serve a node: the page, the REST interface and the replica, until Ctrl-C.

    Without any option: the sample's users on http://127.0.0.1:8082, on an embedded log.
    """
    from clusterlite.cli.entities import load_entities  # noqa: PLC0415 - only serve needs them
    from clusterlite.cli.supervisor import Supervisor  # noqa: PLC0415
    from clusterlite.cli.voice import Voice  # noqa: PLC0415
    from clusterlite.http.service import Served  # noqa: PLC0415
    from clusterlite.log.open import make_log  # noqa: PLC0415
    from clusterlite.telemetry import configure_logging  # noqa: PLC0415

    settings = load_settings(
        {
            "host": host,
            "port": port,
            "data": data,
            "log": log,
            "node_id": node_id,
            "cluster": cluster,
            "workers": workers,
            "entities": ",".join(entities) if entities else None,
            "allow_origin": ",".join(allow_origin) if allow_origin else None,
            "reload": reload,
            "log_format": log_format,
            "access_log": access_log,
        },
        config,
    )
    configure_logging("serve", settings.log_format)
    voice = Voice(settings.log_format)
    # A change within a second of another would be hidden by bytecode: see `cli.reload`.
    sys.dont_write_bytecode |= settings.reload
    # What can be refused is refused here, before any process is started.
    make_log(settings.log_url)
    tables = [Served(operations).name for operations in load_entities(settings.entities)]
    ended = Supervisor(settings, voice).run(
        lambda found, node: print_banner(voice, found, tables, node)
    )
    # Whoever was refused has been told why; that is all they need to know.
    if ended.code == 0:
        print_farewell(voice, settings, ended.saved, ended.served_s)
    raise SystemExit(ended.code)


_INSIDE = "Look inside"
_REPAIR = "Set right"

app.command(
    epilog=_examples(
        "clusterlite status", "clusterlite status http://node-1:8082 http://node-2:8082"
    )
)(status)
app.command(
    epilog=_examples(
        "clusterlite event 01a212d7-8087-738c-88ec-b3f227a0e0c3",
        "clusterlite event 01a212d7-8087-738c-88ec-b3f227a0e0c3 --settle --url http://node-1:8082",
    )
)(event)
app.command(
    "settings",
    epilog=_examples(
        "clusterlite settings",
        "clusterlite settings --window-hours 72 --log kafka://broker-1:9092/events",
    ),
)(log_settings)
app.command(epilog=_examples("clusterlite init", "clusterlite init shop"))(project.init)

_log = typer.Typer(no_args_is_help=True)
_log.command(
    epilog=_examples(
        "clusterlite log tail -f", "clusterlite log tail --log kafka://broker-1:9092/events -n 100"
    )
)(logs.tail)


@_log.callback()
def _log_help() -> None:
    """Look into a log: what was asked of the cluster, in which order."""


app.add_typer(_log, name="log", rich_help_panel=_INSIDE, epilog=_examples("clusterlite log tail"))
app.command(
    rich_help_panel=_INSIDE,
    epilog=_examples("clusterlite sqlite data", 'clusterlite sqlite data "SELECT * FROM users"'),
)(replicas.sqlite)
app.command(rich_help_panel=_INSIDE, epilog=_examples("clusterlite copy data users.sqlite"))(
    replicas.copy
)
app.command(
    rich_help_panel=_INSIDE,
    epilog=_examples(
        "clusterlite verify data",
        "clusterlite verify http://node-1:8082 --against http://node-2:8082",
    ),
)(replicas.verify)
app.command(
    rich_help_panel=_REPAIR,
    epilog=_examples(
        "clusterlite repair data",
        "clusterlite repair data --log kafka://broker-1:9092/events --yes",
    ),
)(repair)
app.command(
    rich_help_panel=_REPAIR,
    epilog=_examples("clusterlite reset", "clusterlite reset --data data --log file:data/log"),
)(reset)


@app.command(rich_help_panel=_REPAIR, epilog=_examples("clusterlite adopt --moved data/log"))
def adopt(
    log: Annotated[Path, typer.Argument(help="The embedded log's file.")],
    moved: Annotated[
        bool, typer.Option("--moved", help="The other copy is gone for good.")
    ] = False,
) -> None:
    """Accept an embedded log that was moved or restored as the log that it was."""
    from clusterlite.log.file import adopt_moved  # noqa: PLC0415

    if not moved:
        fail("say --moved if the other copy of the log is gone for good; two copies must not live")
    adopt_moved(log)
    typer.echo(f"{log} is this log's only copy now")


@app.command(epilog=_examples("clusterlite version"))
def version() -> None:
    """Print the version."""
    typer.echo(clusterlite.__version__)
