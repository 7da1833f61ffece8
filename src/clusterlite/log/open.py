"""From the operator's words to a log: `memory:`, `file:PATH`, `kafka://host:port/topic`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from clusterlite.errors import ConfigError
from clusterlite.log.base import Log, Look

FORMS: Final = "memory:, file:PATH or kafka://host:port[,host:port]/topic"


class _Kafka(NamedTuple):
    """A Kafka log's address in its parts."""

    brokers: str
    topic: str
    options: dict[str, str]


def make_log(url: str) -> Log:
    """Construct the adapter that `url` names; does no I/O.

    Args:
        url: for Kafka, librdkafka's settings may follow as a query.

    Raises:
        ConfigError: it names none, or a setting that a guarantee rests on.
    """
    named = _parse(url)
    if isinstance(named, _Kafka):
        from clusterlite.log.kafka import KafkaLog  # noqa: PLC0415 - each process loads its own

        return KafkaLog(*named)
    if named is not None:
        from clusterlite.log.file import FileLog  # noqa: PLC0415

        return FileLog(named)
    from clusterlite.log.memory import MemoryLog  # noqa: PLC0415

    return MemoryLog()


def make_look(url: str) -> Look:
    """Connect to the log that `url` names, to read it and nothing else.

    Args:
        url: as of `make_log`.

    Raises:
        ConfigError: it names none, or none that another process can see.
        LogError: it cannot be read now.
    """
    named = _parse(url)
    if isinstance(named, _Kafka):
        from clusterlite.log.kafka_look import KafkaLook  # noqa: PLC0415 - as in make_log

        return KafkaLook(*named)
    if named is not None:
        from clusterlite.log.look import FileLook  # noqa: PLC0415

        return FileLook(named)
    raise ConfigError("a log in memory is seen by its own process alone; name another with --log")


def log_file(url: str) -> Path | None:
    """The file of an embedded log, None for every other.

    Raises:
        ConfigError: it names none.
    """
    named = _parse(url)
    return named if isinstance(named, Path) else None


def _parse(url: str) -> _Kafka | Path | None:
    """What `url` names; None is the log in memory."""
    kind, _, rest = url.partition(":")
    if kind == "memory" and not rest:
        return None
    if kind == "file" and rest:
        return Path(rest).expanduser()
    if kind == "kafka":
        with contextlib.suppress(ValueError):  # brackets that are no IPv6 address
            parts = urlsplit(url, allow_fragments=False)  # a password may hold #
            topic = parts.path.strip("/")
            if parts.netloc and topic and "/" not in topic:
                return _Kafka(parts.netloc, topic, dict(parse_qsl(parts.query)))
    raise ConfigError(f"{_without_secrets(url)!r} names no log; use {FORMS}")


def _without_secrets(url: str) -> str:
    """The part before any option, user or password."""
    shown = url.partition("?")[0]
    kind, slashes, rest = shown.partition("://")
    return f"{kind}{slashes}{rest.rpartition('@')[2]}"
