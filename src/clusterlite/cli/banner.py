"""What `serve` says to whoever started it."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

import clusterlite
from clusterlite.config import Settings
from clusterlite.log.open import make_log
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.reader import Reader


def print_banner(settings: Settings, port: int, tables: list[str]) -> None:
    """Say where the page is, which log at which position, and what is not fault-tolerant."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, host)  # noqa: S104
    log = make_log(settings.log_url)
    lines = [
        ("page", f"http://{shown}:{port}/-/ui/"),
        ("tables", ", ".join(f"http://{shown}:{port}/{name}" for name in tables)),
        ("log", f"{log.url}, {_reached(settings.data)}"),
        ("data", str(settings.data.absolute())),
    ]
    console.print(f"[bold]ClusterLite {clusterlite.__version__}[/bold]")
    for name, value in lines:
        console.print(f"  {name:<7} {value}", markup=False)
    if log.caveat:
        console.print(f"  note    not fault-tolerant: {log.caveat}", markup=False)
    if settings.listens_wide:
        console.print(
            f"  WARNING it listens on {settings.host}: whoever reaches this address can read and "
            "write everything, there is no authentication yet",
            style="bold red",
            markup=False,
        )


def _reached(data: Path) -> str:
    replica = DataFolder(data).replica
    if not replica.exists():
        return "nothing applied yet"
    reader = Reader(replica)
    try:
        position = reader.position()
    finally:
        reader.close()
    return f"applied up to position {position}" if position >= 0 else "nothing applied yet"


def print_farewell(settings: Settings) -> None:
    """Say what is saved."""
    sys.stderr.write(
        f"clusterlite: stopped; everything acknowledged is in {make_log(settings.log_url).url} "
        f"and {settings.data.absolute()}\n"
    )
