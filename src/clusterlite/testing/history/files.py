"""What a check was given, kept in files: JSON lines, to be checked again elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from clusterlite.testing.history.check import Replica
from clusterlite.testing.history.records import LogRecord, Record


def save_log(path: Path, log: Iterable[LogRecord]) -> None:
    """Write a log, one record a line, its bytes in base64."""
    with path.open("w", encoding="utf-8") as file:
        for record in log:
            value = base64.b64encode(record.value).decode()
            file.write(json.dumps([record.position, record.time_ms, value]) + "\n")


def load_log(path: Path) -> list[Record]:
    """Read a log that `save_log` wrote."""
    with path.open(encoding="utf-8") as file:
        lines = map(json.loads, file)
        return [Record(at, time_ms, base64.b64decode(value)) for at, time_ms, value in lines]


def save_replicas(path: Path, replicas: Iterable[Replica]) -> None:
    """Write what replicas were seen to be, one a line."""
    with path.open("w", encoding="utf-8") as file:
        for replica in replicas:
            file.write(json.dumps(asdict(replica), ensure_ascii=False) + "\n")


def load_replicas(path: Path) -> list[Replica]:
    """Read what `save_replicas` wrote."""
    with path.open(encoding="utf-8") as file:
        return [Replica(**json.loads(line)) for line in file]
