"""The commands of `clusterlite`."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

import clusterlite
from clusterlite.cli.banner import print_banner, print_farewell
from clusterlite.config import Settings, load_settings
from clusterlite.errors import ClusterLiteError, ConfigError

EXIT_USAGE = 2
_STATUS_WAIT_S = 3.0

app = typer.Typer(
    help="Distributed SQLite: every node a whole database, every write an event in one log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def run() -> None:
    """Run the command line; errors of ours are a line, not a traceback."""
    try:
        app()
    except ClusterLiteError as error:
        fail(str(error))


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Say what is wrong and end."""
    sys.stderr.write(f"clusterlite: {message}\n")
    raise SystemExit(code)


def _help(name: str) -> str:
    field = Settings.model_fields[name]
    return f"{field.description} [env CLUSTERLITE_{name.upper()}]"


@app.command()
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
    config: Annotated[Path | None, typer.Option(help="TOML file with these settings.")] = None,
) -> None:
    """Serve a node: the page, the REST interface and the replica, until Ctrl-C.

    Without any option: the sample's users on http://127.0.0.1:8082, on an embedded log.
    """
    from clusterlite.cli.entities import load_entities  # noqa: PLC0415 - only serve needs them
    from clusterlite.cli.supervisor import Supervisor  # noqa: PLC0415
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
        },
        config,
    )
    configure_logging("serve")
    # What can be refused is refused here, before any process is started.
    make_log(settings.log_url)
    tables = [Served(operations).name for operations in load_entities(settings.entities)]
    code = Supervisor(settings).run(lambda bound: print_banner(settings, bound, tables))
    print_farewell(settings)
    raise SystemExit(code)


@app.command()
def status(
    urls: Annotated[
        list[str] | None, typer.Argument(help="Nodes; this machine's by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a node.")] = False,
) -> None:
    """Show where nodes are: state, position, lag, running hash.

    Ends with 1 where one is not ready, or two differ at the same position.
    """
    found = [(url, _ask(url)) for url in urls or ["http://127.0.0.1:8082"]]
    if as_json:
        for url, node in found:
            typer.echo(json.dumps({"url": url, **node}))
    else:
        Console().print(_status_table(found))
        for url, node in found:
            reason = node.get("reason")
            if reason:
                typer.echo(f"{url}: {reason['reason']}: {reason['detail']}\n  {reason['cure']}")
    differing = _differing(node for _, node in found)
    for position in differing:
        typer.echo(f"the nodes at position {position} differ: their states should be equal there")
    if differing or any(node["state"] != "ready" for _, node in found):
        raise SystemExit(1)


def _differing(nodes: Iterable[dict[str, Any]]) -> list[int]:
    """Positions at which nodes of one cluster have different hashes (I5)."""
    hashes: dict[tuple[str, int], set[str]] = {}
    for node in nodes:
        if "hash" in node:
            hashes.setdefault((node["cluster"], node["position"]), set()).add(node["hash"])
    return sorted(position for (_, position), found in hashes.items() if len(found) > 1)


def _ask(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        url = f"http://{url}"
    try:
        answer = urllib.request.urlopen(f"{url.rstrip('/')}/-/cluster", timeout=_STATUS_WAIT_S)  # noqa: S310 - http(s) only
        with answer:
            found = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError) as error:
        return {"state": "unreachable", "reason": _reason(str(error))}
    return found if isinstance(found, dict) else {"state": "unreachable", "reason": None}


def _reason(detail: str) -> dict[str, str]:
    return {"reason": "unreachable", "detail": detail, "cure": "Is the node running there?"}


def _status_table(found: list[tuple[str, dict[str, Any]]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("url", "node", "state", "position", "lag", "hash"):
        table.add_column(heading)
    for url, node in found:
        cells = [node.get(name) for name in ("node", "state", "position", "lag")]
        shown = ["-" if cell is None else str(cell) for cell in cells]
        table.add_row(url, *shown, str(node.get("hash", ""))[:12])
    return table


@app.command()
def verify(
    data: Annotated[Path, typer.Argument(help="Data folder, or a replica's file.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check a replica's file and print the hash of its contents.

    Equal replicas at one position have equal content hashes. Safe beside a running node.
    """
    import apsw  # noqa: PLC0415 - only this command reads files itself

    from clusterlite.replica.folder import DataFolder  # noqa: PLC0415
    from clusterlite.replica.verify import verify as verify_file  # noqa: PLC0415

    path = DataFolder(data).replica if data.is_dir() else data
    if not path.exists():
        raise ConfigError(f"there is no replica at {path}")
    try:
        found = verify_file(path)
    except apsw.Error as error:
        fail(f"{path} cannot be read: {error}. Move it aside: it is rebuilt from the log", 1)
    if as_json:
        typer.echo(json.dumps(found._asdict()))
    else:
        for name, value in found._asdict().items():
            typer.echo(f"{name:<9} {value}")
    if found.damage:
        raise SystemExit(1)


@app.command()
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


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(clusterlite.__version__)
