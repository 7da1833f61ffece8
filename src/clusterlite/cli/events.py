"""`clusterlite event`: what became of a write, asked of a node over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from clusterlite.cli.neighbours import served_url, url_of
from clusterlite.config import load_settings

_WAIT_S = 15.0
_OPEN = {
    "unseen": "no event has this id up to position {looked_up_to}. It may still come: --settle "
    "makes that definite",
    "forgotten": "nobody knows any more: the id may be older than the window in which ids are "
    "remembered",
}


def event(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Of the event.")],
    url: Annotated[
        str | None, typer.Option(help="Node to ask; that of the data folder by default.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the node to ask.")] = None,
    settle: Annotated[
        bool,
        typer.Option("--settle", help="Make it definite: what did not happen yet never will."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what became of a write, by the id that its answer or error named.

    Ends with 1 where that is not known: no event has the id yet, or it is too
    long ago.
    """
    from clusterlite.client import Client  # noqa: PLC0415 - few commands ask over HTTP

    settings = load_settings({"data": data})
    asked = url or served_url(settings.data) or url_of(settings.host, settings.port)
    with Client([asked], timeout_s=_WAIT_S) as client:
        if settle:
            client.settle(event_id)
        found = client.event(event_id)
    typer.echo(json.dumps(found) if as_json else _told(found))
    if found["status"] in _OPEN:
        raise SystemExit(1)


def _told(found: dict[str, Any]) -> str:
    status = found["status"]
    if status in _OPEN:
        return f"{status}: {_OPEN[status].format(**found)}"
    if status == "never":
        return f"never: the id was closed at position {found['position']}, and has no effect"
    if status == "rejected":
        field = f", field {found['field']}" if "field" in found else ""
        return f"rejected at position {found['position']}: {found['code']}{field}; no effect"
    lines = [f"applied at position {found['position']}"]
    for change in found.get("changes", ()):
        how = "created" if change["created"] else "written"
        how = "removed" if change["operation"] == "DELETE" else how
        lines.append(f"  {change['operation']} {change['table']}/{change['key']}: {how}")
    return "\n".join(lines)
