"""What `serve` says to whoever started it, when it serves and when it has ended."""

from __future__ import annotations

import sys
from typing import Any, Final

from rich.console import Console

import clusterlite
from clusterlite.cli.neighbours import url_of
from clusterlite.cli.voice import Voice
from clusterlite.config import SAMPLE, Settings
from clusterlite.log.open import make_log
from clusterlite.telemetry import get_logger, has_colours

_log = get_logger("clusterlite.serve")

_MEANWHILE: Final = {
    "catching_up": "it reads its log up to the end before it takes writes",
    "founding": "it writes the first record of a new log",
    "declaring": "it declares its tables in the log",
    "lagging": "it reads its log up to the end",
}
"""What a node does that is not ready and has nothing to complain of, by its state."""


def print_banner(voice: Voice, settings: Settings, tables: list[str], node: dict[str, Any]) -> None:
    """Say where the page is, which log at which position, and what is not fault-tolerant.

    Args:
        voice: of the supervisor.
        settings: with the port that was found.
        tables: that are served.
        node: state, position and reason of the node, as `/-/cluster` names them.
    """
    url = url_of(settings.host, settings.port)
    log = make_log(settings.log_url)
    if not voice.text:
        _log.info(
            "serving",
            url=url,
            version=clusterlite.__version__,
            node=settings.node_id,
            tables=tables,
            log=log.url,
            data=str(settings.data.absolute()),
            **node,
        )
        if settings.listens_wide:
            _log.warning("listens_wide", host=settings.host, meaning=_wide(settings))
        return
    console = Console(
        file=sys.stderr, highlight=False, soft_wrap=True, no_color=not has_colours(sys.stderr)
    )
    position = node["position"]
    applied = f"applied up to position {position}" if position >= 0 else "nothing applied yet"
    lines = [
        ("page", f"{url}/-/ui/"),
        ("tables", ", ".join(f"{url}/{name}" for name in tables) + _whose(settings)),
        ("log", f"{log.url}, {applied}"),
        ("data", str(settings.data.absolute())),
        ("state", _state(node)),
    ]
    console.print(f"[bold]ClusterLite {clusterlite.__version__}[/bold]")
    for name, value in lines:
        style = "bold yellow" if name == "state" and node["state"] != "ready" else None
        console.print(f"  {name:<7} {value}", markup=False, style=style)
    if log.caveat:
        console.print(f"  note    not fault-tolerant: {log.caveat}", markup=False)
    if settings.listens_wide:
        console.print(f"  WARNING {_wide(settings)}", style="bold red", markup=False)
    console.print("  Ctrl-C stops it", markup=False)


def _whose(settings: Settings) -> str:
    sample = settings.entities == (SAMPLE,)
    return " (the sample; --entities names your own)" if sample else ""


def _state(node: dict[str, Any]) -> str:
    state, reason = node["state"], node["reason"]
    if reason is None:
        return f"{state}: {_MEANWHILE[state]}" if state in _MEANWHILE else state
    named = state if reason["reason"] == state else f"{state}, {reason['reason']}"
    return f"{named}: {reason['detail']}. {reason['cure']}"


def _wide(settings: Settings) -> str:
    everywhere = settings.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    where = "every address of this machine" if everywhere else settings.host
    return (
        f"it listens on {where}: whoever can reach port {settings.port} there can read and write "
        "everything, there is no authentication yet. Let only a proxy that authenticates reach "
        "it, or listen on 127.0.0.1, the default"
    )


def print_farewell(
    voice: Voice, settings: Settings, saved: dict[str, Any] | None, served_s: float | None
) -> None:
    """Say what is saved.

    Args:
        voice: of the supervisor.
        settings: with the port that was found.
        saved: position and count of tables of the node at its end, None where it told neither.
        served_s: how long it was up, in seconds; None where it never served.
    """
    log = make_log(settings.log_url)
    data = settings.data.absolute()
    where = tables = ""
    if saved is not None and saved["position"] >= 0:
        where = f" at position {saved['position']}"
        tables = " (1 table)" if saved["tables"] == 1 else f" ({saved['tables']} tables)"
    kept = f"everything acknowledged is in {log.url} and {data}{tables}"
    if log.url == "memory:":
        kept = "the log was in memory, so what was written is gone"
    voice.say(
        "stopped",
        f"stopped {_when(served_s)}{where}; {kept}",
        served_s=0.0 if served_s is None else round(served_s, 1),
        log=log.url,
        data=str(data),
        **(saved or {}),
    )


def _when(served_s: float | None) -> str:
    if served_s is None:
        return "while it was starting"
    if served_s < 10:
        return f"after {served_s:.1f} s"
    minutes, seconds = divmod(int(served_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"after {days} d {hours} h"
    if hours:
        return f"after {hours} h {minutes} min"
    return f"after {minutes} min {seconds} s" if minutes else f"after {seconds} s"
