"""`clusterlite log …`: what stands in a log."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clusterlite.config import load_settings
from clusterlite.errors import ConfigError, LogUnavailable

if TYPE_CHECKING:
    from clusterlite.log.base import Look, Record

COUNT: Final = 20
_BATCH: Final = 500
_WAIT_S: Final = 1.0
_ANSWER_WAIT_S: Final = 5.0
_GENESIS_WITHIN: Final = 100
"""A log's first event of a node is its GENESIS; programs may have written before it."""


def tail(
    log: Annotated[
        str | None, typer.Option(help="The log, as for serve; file:DATA/log by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the node whose embedded log it is.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", min=0, help=f"How many of the newest; {COUNT} by default.")
    ] = None,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="Begin at this position instead.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a record.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with the settings.")] = None,
) -> None:
    """Show the newest events of a log: what was asked of the cluster, by whom, in which order.

    It shows what was written and not what came of it: an event may have been
    rejected. It only reads, and is safe beside running nodes.
    """
    from clusterlite.log.open import make_look  # noqa: PLC0415 - loads what the log needs

    settings = load_settings({"log": log, "data": data}, config)
    look = make_look(settings.log_url)
    try:
        first, end = look.bounds()
        if start is None:
            position = max(first, end - (COUNT if count is None else count))
        else:
            if start > end:
                raise ConfigError(f"nothing stands at {start}: {look.url} ends before {end}")
            position = max(first, start)
            end = end if count is None else min(end, position + count)
        printer = _Printer(cluster_of(look), as_json=as_json)
        if first == end and not follow:
            sys.stderr.write(f"clusterlite: the log {look.url} is empty\n")
        position = _print_up_to(look, position, end, printer)
        if follow:
            _follow(look, position, printer)
    except KeyboardInterrupt:
        return
    finally:
        look.close()


class _Printer:
    """Prints records, with a heading before the first.

    Args:
        cluster: the log's id, empty where it is not known.
        as_json: objects instead of lines.
    """

    def __init__(self, cluster: str, *, as_json: bool) -> None:
        from clusterlite.cli import records  # noqa: PLC0415 - loads the codec

        self._records = records
        self._cluster = cluster
        self._as_json = as_json
        self._headed = as_json

    def print(self, batch: list[Record]) -> None:
        """Print some records."""
        if not self._headed and batch:
            self._headed = True
            typer.echo(self._records.HEADING)
        for record in batch:
            shown = self._records.spell(record, self._cluster)
            typer.echo(json.dumps(shown) if self._as_json else self._records.line(shown))


def _print_up_to(look: Look, position: int, end: int, printer: _Printer) -> int:
    while position < end:
        batch = look.read(position, min(_BATCH, end - position), _ANSWER_WAIT_S)
        if batch.next == position:
            raise LogUnavailable(f"{look.url} gave nothing at position {position}; try again")
        printer.print([record for record in batch.records if record.position < end])
        position = batch.next
    return position


def _follow(look: Look, position: int, printer: _Printer) -> None:
    told = ""
    while True:
        try:
            batch = look.read(position, _BATCH, _WAIT_S)
        except LogUnavailable as error:
            if str(error) != told:
                told = str(error)
                sys.stderr.write(f"clusterlite: {told}; it is asked again until Ctrl-C\n")
            time.sleep(_WAIT_S)
            continue
        printer.print(batch.records)
        position = batch.next


def cluster_of(look: Look) -> str:
    """The log's id, as its first GENESIS gave it; empty where it is not near the beginning."""
    from clusterlite.core.codec import decode  # noqa: PLC0415 - loads the codec

    first, end = look.bounds()
    if first == end:
        return ""
    for record in look.read(first, _GENESIS_WITHIN, _ANSWER_WAIT_S).records:
        event = decode(record.value, record.position)
        if event is not None and event.operation == "GENESIS" and event.problem is None:
            return event.cluster or ""
    return ""
