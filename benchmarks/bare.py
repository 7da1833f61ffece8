"""The bare application: what a node's worker does for a read, and nothing else.

    python -m benchmarks.bare FOLDER PORT

Plain ASGI on uvicorn as a worker runs it, with the same SQL, pragmas and encoding. It has no
log, no position and no other route.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
import uvicorn

from benchmarks.load import ROWS, row

SCHEMA: Final = (
    """CREATE TABLE "users" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL,
    "email" TEXT NOT NULL, "_version" INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL)",
    "INSERT INTO state VALUES (1, 0)",
)
BY_KEY: Final = (
    'SELECT (SELECT position FROM state), t._version, t.id, t."name", t."email" FROM "users" t'
    " WHERE t.id = ?"
)
CACHE_KIB: Final = 64 * 1024

Message = MutableMapping[str, Any]
_encode = msgspec.json.Encoder().encode


def make_file(path: Path) -> None:
    """Write the file with the rows that are read."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    with connection:
        for statement in SCHEMA:
            connection.execute(statement)
        rows = [(*row(number).values(), 0) for number in range(ROWS)]
        connection.executemany('INSERT INTO "users" VALUES (?,?,?,?)', rows)
    connection.close()


def open_reader(path: Path) -> apsw.Connection:
    """A read-only connection with a replica reader's settings."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("mmap_size", 0)
    connection.pragma("query_only", True)
    return connection


class Bare:
    """`GET /users/{id}`.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_reader(path)

    async def __call__(
        self,
        scope: Message,
        _receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        key = scope["path"].rpartition("/")[2]
        found = self._connection.execute(BY_KEY, (key,)).fetchone()
        if found is None:
            status, body = 404, b"{}"
        else:
            status = 200
            body = _encode({"id": found[2], "name": found[3], "email": found[4]})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Make the file and serve it until SIGTERM."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bare.db"
    make_file(path)
    uvicorn.run(
        Bare(path),
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
