"""The load generator: wrk, its scripts and what it prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

SCRIPTS: Final = Path(__file__).resolve().parent
ROWS: Final = 10_000
"""Rows in every table that is read from."""

_UNITS_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0}
_P50 = re.compile(r"^ +50% +([\d.]+)(us|ms|s|m)$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec: +([\d.]+)$", re.MULTILINE)
_FAILED = re.compile(r"^ +(Socket errors: .*|Non-2xx or 3xx responses: .*)$", re.MULTILINE)


class LoadFailed(Exception):
    """Requests failed, so what was measured is something else."""


class Load(NamedTuple):
    """What one run of wrk found.

    Args:
        per_s: requests a second.
        p50_ms: median latency.
    """

    per_s: float
    p50_ms: float


def parse(output: str) -> Load:
    """Read what `wrk --latency` printed.

    Raises:
        LoadFailed: answers were missing or not of the 200s, or the text is of another kind.
    """
    failed = _FAILED.search(output)
    if failed is not None:
        raise LoadFailed(failed[1])
    rate, median = _RATE.search(output), _P50.search(output)
    if rate is None or median is None or float(rate[1]) == 0:
        raise LoadFailed(f"wrk measured nothing: {output}")
    return Load(float(rate[1]), float(median[1]) * _UNITS_MS[median[2]])


def key(number: int) -> str:
    """The key of a seeded row; the scripts spell it alike, and PocketBase takes it too."""
    return f"row{number:012d}"


def row(number: int) -> dict[str, str]:
    """A seeded row."""
    return {"id": key(number), "name": f"Name {number}", "email": f"n{number}@example.com"}


def reads(
    port: int, clients: int, seconds: int, path: str = "/users/", header: tuple[str, str] = ("", "")
) -> Load:
    """Reads of random seeded rows below `path`, one by one on each connection.

    Args:
        port: of the server.
        clients: connections.
        seconds: of the load.
        path: of the rows.
        header: name and value of one that each read sends; none where it is empty.
    """
    return _wrk(port, "reads.lua", clients, seconds, path, str(ROWS), *filter(None, header))


def reads_many(port: int, clients: int, seconds: int, rows: int) -> Load:
    """Reads of random rows among the first `rows`, one by one on each connection."""
    return _wrk(port, "reads_many.lua", clients, seconds, "/users/", str(rows))


def creates(port: int, clients: int, seconds: int, path: str = "/users") -> Load:
    """Creates at `path`; each is answered before its client sends the next."""
    return _wrk(port, "creates.lua", clients, seconds, path)


def _wrk(port: int, script: str, clients: int, seconds: int, *arguments: str) -> Load:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    command += ["-s", str(SCRIPTS / script), f"http://127.0.0.1:{port}", "--", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed(f"wrk: {done.stderr or done.stdout}")
    return parse(done.stdout)
