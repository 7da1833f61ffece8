"""From the operator's words to a log: `memory:`, `file:PATH`, `kafka://host:port/topic`."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from clusterlite.errors import ConfigError
from clusterlite.log.base import Log

FORMS: Final = "memory:, file:PATH or kafka://host:port[,host:port]/topic"


def make_log(url: str) -> Log:
    """Construct the adapter that `url` names; does no I/O.

    Args:
        url: for Kafka, librdkafka's settings may follow as a query.

    Raises:
        ConfigError: it names none, or a setting that a guarantee rests on.
    """
    kind, _, rest = url.partition(":")
    if kind == "memory" and not rest:
        from clusterlite.log.memory import MemoryLog  # noqa: PLC0415 - each process loads its own

        return MemoryLog()
    if kind == "file" and rest:
        from clusterlite.log.file import FileLog  # noqa: PLC0415

        return FileLog(Path(rest).expanduser())
    if kind == "kafka":
        parts = urlsplit(url, allow_fragments=False)  # a password may hold #
        topic = parts.path.strip("/")
        if parts.netloc and topic and "/" not in topic:
            from clusterlite.log.kafka import KafkaLog  # noqa: PLC0415

            return KafkaLog(parts.netloc, topic, dict(parse_qsl(parts.query)))
    raise ConfigError(f"{_without_secrets(url)!r} names no log; use {FORMS}")


def _without_secrets(url: str) -> str:
    """The part before any option, user or password."""
    shown = url.partition("?")[0]
    kind, slashes, rest = shown.partition("://")
    return f"{kind}{slashes}{rest.rpartition('@')[2]}"
