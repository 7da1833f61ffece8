"""Request lines: one for each answer, readable on a terminal, JSON for a program.

    12:03:04  201  POST    /users  3.1 ms  103 B
    {"timestamp": …, "level": "info", "event": "request", "process": "worker", "pid": 7,
     "method": "POST", "path": "/users", "status": 201, "ms": 3.1, "bytes": 103}

What the page and balancers ask every few seconds is left out while it succeeds: it would hide
the rest. Queries are never shown, since they may hold what a log should not.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from typing import Final, TextIO

from clusterlite.telemetry import as_text, has_colours

PATH_MAX: Final = 300
"""Characters of a path that are shown."""

_QUIET: Final = (b"/-/cluster", b"/-/health/", b"/-/ui/")
_COLOURS: Final = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"


class AccessLog:
    """Writes one line for each answer; an output that is gone costs no answer.

    Args:
        stream: where the lines go.
        log_format: `auto`, `text` or `json`, as for all log output.
    """

    def __init__(self, stream: TextIO, log_format: str = "auto") -> None:
        self._stream = stream
        text = as_text(log_format, stream)
        self._render: Callable[..., str] = self._text if text else self._json
        self._colours = has_colours(stream)
        self._pid = os.getpid()

    def __call__(
        self, method: str, raw_path: bytes, status: int, seconds: float, size: int
    ) -> None:
        """Note one answer.

        Args:
            method: of the request.
            raw_path: as it was sent, without the query.
            status: of the answer.
            seconds: from the request's head to the end of the answer.
            size: of the answer's body, in bytes.
        """
        if status < 400 and raw_path.startswith(_QUIET):
            return
        line = self._render(method, _shown(raw_path), status, round(seconds * 1000, 1), size)
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal or the pipe was closed
            self._render = _nothing

    def _text(self, method: str, path: str, status: int, ms: float, size: int) -> str:
        code = str(status)
        if self._colours:
            code = f"{_COLOURS.get(status // 100, '')}{code}{_PLAIN}"
        now = dt.datetime.now().strftime("%H:%M:%S")  # noqa: DTZ005 - a person's own clock
        return f"{now}  {code}  {method:<6}  {path}  {ms} ms  {size} B\n"

    def _json(self, method: str, path: str, status: int, ms: float, size: int) -> str:
        line = {
            "timestamp": dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z"),
            "level": "error" if status >= 500 else "info",
            "event": "request",
            "process": "worker",
            "pid": self._pid,
            "method": method,
            "path": path,
            "status": status,
            "ms": ms,
            "bytes": size,
        }
        return json.dumps(line) + "\n"


def _shown(raw_path: bytes) -> str:
    """A path that cannot steer a terminal, nor fill it."""
    path = raw_path.decode("ascii", errors="backslashreplace")
    if not path.isprintable():
        path = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path)
    return path if len(path) <= PATH_MAX else f"{path[:PATH_MAX]}…"


def _nothing(*_: object) -> str:
    return ""
