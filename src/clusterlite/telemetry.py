"""Log output: one line an event, with a stable `event` key.

The package logs through the standard library, under `clusterlite`, so a program that uses it as
a library decides what is shown; nothing is below warnings by default. `serve` shows everything
from info on: readable on a terminal, else JSON.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.types import EventDict, Processor

_AS_TEXT: Final = structlog.processors.KeyValueRenderer(key_order=["event"])
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


def configure_logging(process: str) -> None:
    """Set up this process's log output, on stderr.

    Args:
        process: `node`, `worker` or `serve`; stands in every line.
    """
    global _formatted  # noqa: PLW0603 - a process has one log output, as the standard library's

    def add_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {**event, "process": process}

    terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        add_process,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.processors.format_exc_info],
            processors=[
                *shared,
                ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=True)
                if terminal
                else structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("clusterlite").setLevel(logging.INFO)
    _formatted = True
