"""`clusterlite settings`: what the log itself sets, alike for every node, and how it is changed.

A change is an event: nodes apply it when they get there, running or not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from clusterlite.config import load_settings
from clusterlite.errors import AppendUnknown, ConfigError

_APPEND_WAIT_S: Final = 30.0
_HOUR_S: Final = 3600


def settings(
    window_positions: Annotated[
        int | None, typer.Option(min=1, help="Remember event ids for so many positions.")
    ] = None,
    window_hours: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="… and for so many hours.")
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="The log to change, as for serve; file:DATA/log by default.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of a node of this log.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with the settings.")] = None,
) -> None:
    """Show what the log sets for every node, or change it there.

    Event ids, and so idempotency keys, are remembered while either bound of the
    window holds. A change is safe beside running nodes.
    """
    known = load_settings({"log": log, "data": data}, config)
    given = {
        "window_positions": window_positions,
        "window_s": None if window_hours is None else window_hours * _HOUR_S,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if changes:
        position = _append(known.log_url, changes)
        shown: dict[str, Any] = {**changes, "position": position}
    else:
        shown = _found(known.data)
    if as_json:
        typer.echo(json.dumps(shown))
        return
    if changes:
        typer.echo(f"written to {known.log_url} at position {position}; nodes apply it there:")
    if "window_positions" in shown:
        typer.echo(f"window_positions  {shown['window_positions']:,}")
    if "window_s" in shown:
        typer.echo(f"window_hours      {shown['window_s'] / _HOUR_S:g}")
    if not changes:
        typer.echo(f"as at position {shown['position']:,}")


def _found(data: Path) -> dict[str, Any]:
    """The settings as the node of this folder has them, running or stopped."""
    from clusterlite.cli.replicas import find_replica  # noqa: PLC0415 - needs SQLite
    from clusterlite.replica.database import open_reader  # noqa: PLC0415
    from clusterlite.replica.state import load_state  # noqa: PLC0415

    connection = open_reader(find_replica(data))
    try:
        state = load_state(connection)
    finally:
        connection.close()
    return {
        "window_positions": state.window_positions,
        "window_s": state.window_ms // 1000,
        "position": state.position,
    }


def _append(url: str, changes: dict[str, int]) -> int:
    """Write a SETTINGS event; its position.

    Raises:
        ConfigError: the log is not there, or no cluster was founded on it.
        LogError: it may not have been written; the same command again is safe.
    """
    from clusterlite.cli.logs import cluster_of  # noqa: PLC0415 - loads what the log needs
    from clusterlite.core import codec  # noqa: PLC0415
    from clusterlite.core.event import Stamp  # noqa: PLC0415
    from clusterlite.log.open import make_log, make_look  # noqa: PLC0415
    from clusterlite.node.ids import timestamp, uuid7  # noqa: PLC0415

    look = make_look(url)
    try:
        cluster, end = cluster_of(look), look.bounds().end
    finally:
        look.close()
    if not cluster:
        raise ConfigError(f"the beginning of {url} tells no cluster: start a node on it first")
    stamp = Stamp(uuid7(), timestamp(), cluster, "clusterlite settings", end - 1)
    opened = make_log(url)
    opened.open()
    try:
        (written,) = opened.append([codec.encode(stamp, "SETTINGS", "", changes)])
        return written.result(_APPEND_WAIT_S)
    except TimeoutError:
        why = f"{url} did not acknowledge it in {_APPEND_WAIT_S:g} s; it may be written"
        raise AppendUnknown(f"{why}, and the same command again is safe") from None
    finally:
        opened.close()
