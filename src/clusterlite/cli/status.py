"""`clusterlite status`: where nodes are, asked over HTTP."""

from __future__ import annotations

import json
import socket
import urllib.error
from collections import Counter
from collections.abc import Iterable
from http.client import HTTPException
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from clusterlite.cli import direct
from clusterlite.config import load_settings

_WAIT_S = 3.0
_PORT = 8082

Found = list[tuple[str, dict[str, Any]]]
"""What each node says of itself, by the address that was asked."""


def status(
    urls: Annotated[
        list[str] | None, typer.Argument(help="Nodes; this machine's by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a node.")] = False,
) -> None:
    """Show where nodes are: state, position, lag, running hash.

    Ends with 1 where one is not ready, or two differ at the same position.
    """
    if not urls:
        urls = [f"127.0.0.1:{load_settings({}).port or _PORT}"]
    found = [(url, ask(url)) for url in map(_address, urls)]
    differing = list(_differing(found))
    if as_json:
        for url, node in found:
            typer.echo(json.dumps({"url": url, **node}))
    else:
        _print_table(found)
        for url, node in found:
            reason = node.get("reason")
            if reason:
                typer.echo(f"{url}: {reason['reason']}: {reason['detail']}\n  {reason['cure']}")
        for line in _same_names(found):
            typer.echo(line)
    for line in differing:
        typer.echo(line, err=as_json)
    if differing or any(node["state"] != "ready" for _, node in found):
        raise SystemExit(1)


def ask(url: str) -> dict[str, Any]:
    """What a node says of itself; `state` is `unreachable` where none answers, with a reason."""
    try:
        with direct.get(f"{url}/-/cluster", _WAIT_S) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        return _unreachable(f"what answers at {url} is no node: HTTP {error.code}")
    except (OSError, ValueError, HTTPException) as error:
        return _unreachable(_why(url, error))
    if not isinstance(found, dict) or "state" not in found:
        return _unreachable(f"what answers at {url} is no node")
    return found


def _address(url: str) -> str:
    return (url if url.startswith(("http://", "https://")) else f"http://{url}").rstrip("/")


def _why(url: str, error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ConnectionRefusedError):
        return f"no node answers at {url}"
    if isinstance(reason, TimeoutError):
        return f"nothing at {url} answered within {_WAIT_S:g} s"
    if isinstance(reason, socket.gaierror):
        return f"there is no host of that name: {url}"
    if isinstance(reason, ValueError | HTTPException):
        return f"what answers at {url} is no node, or {url} is no address"
    return f"no node answers at {url}: {reason}"


def _unreachable(detail: str) -> dict[str, Any]:
    cure = "Start one with clusterlite serve, or name its address: clusterlite status HOST:PORT"
    return {
        "state": "unreachable",
        "reason": {"reason": "unreachable", "detail": detail, "cure": cure},
    }


def _differing(found: Found) -> Iterable[str]:
    """A line for each position at which nodes of one cluster have different hashes (I5)."""
    at: dict[tuple[str, int], dict[str, str]] = {}
    for url, node in found:
        if "hash" in node:
            at.setdefault((node["cluster"], node["position"]), {})[url] = node["hash"]
    for (_, position), hashes in sorted(at.items()):
        if len(set(hashes.values())) > 1:
            yield (
                f"the nodes at position {position} differ: {', '.join(hashes)}; their states "
                "should be equal there. clusterlite verify URL --against URL says where they differ"
            )


def _same_names(found: Found) -> Iterable[str]:
    names = Counter(str(node["node"]) for _, node in found if node.get("node"))
    for name, count in names.items():
        if count > 1:
            yield (
                f"{count} nodes are named {name}: the url tells them apart; give each a name with "
                "--node-id"
            )


def _print_table(found: Found) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("url", no_wrap=True, overflow="fold")
    for heading in ("node", "state", "position", "lag", "hash"):
        table.add_column(heading)
    for url, node in found:
        cells = [node.get(name) for name in ("node", "state", "position", "lag")]
        shown = ["-" if cell is None else str(cell) for cell in cells]
        table.add_row(url, *shown, str(node.get("hash", ""))[:12])
    Console(markup=False, highlight=False).print(table)
