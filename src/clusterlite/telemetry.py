"""Log output: one line an event, with a stable `event` key.

The package logs through the standard library, under `clusterlite`, so a program that uses it as
a library decides what is shown; nothing is below warnings by default. `serve` shows everything
from info on: readable on a terminal, else JSON, unless it is told which.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final, TextIO, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.types import EventDict, Processor

from clusterlite.outlet import Outlet

_AS_TEXT: Final = structlog.processors.KeyValueRenderer(key_order=["event"])
_FIRST: Final = ("timestamp", "level", "event", "process", "pid")
"""How every JSON line begins, so that a person can read a page of them."""

_formatted = False


def get_logger(name: str) -> BoundLogger:
    """The logger of a part of the package.

    Args:
        name: below `clusterlite`.
    """
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _hand_over,
        ],
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def _hand_over(logger: Any, method: str, event: EventDict) -> Any:
    """Keep the event's parts for our own handler; text for any other."""
    if _formatted:
        return ProcessorFormatter.wrap_for_formatter(logger, method, event)
    return _AS_TEXT(logger, method, event)


def as_text(log_format: str, stream: TextIO) -> bool:
    """Whether lines are for a person to read.

    Args:
        log_format: `text`, `json`, or `auto`: text on a terminal.
        stream: that the lines go to.
    """
    return log_format == "text" or (log_format == "auto" and stream.isatty())


def has_colours(stream: TextIO) -> bool:
    """Whether a stream shows colours: a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def configure_logging(process: str, log_format: str = "auto") -> None:
    """Set up this process's log output, on stderr, to which nothing waits to write any more.

    Args:
        process: `node`, `worker` or `serve`; stands in every line, in JSON with its id.
        log_format: as `as_text`.
    """
    global _formatted  # noqa: PLW0603 - a process has one log output, as the standard library's

    if not isinstance(sys.stderr, Outlet):
        sys.stderr = cast("TextIO", Outlet(sys.stderr))
    stream = cast("TextIO", sys.stderr)
    text = as_text(log_format, stream)
    known = {"process": process} if text else {"process": process, "pid": os.getpid()}

    def add_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {**event, **known}

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
        add_process,
        ProcessorFormatter.remove_processors_meta,
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=has_colours(stream))]
        if text
        else [_in_order, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.processors.format_exc_info],
            processors=[*shared, *rendering],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("clusterlite").setLevel(logging.INFO)
    _formatted = True


def _in_order(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What every line has comes first."""
    return {name: event.pop(name) for name in _FIRST if name in event} | dict(event)
