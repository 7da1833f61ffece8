"""The load of `make cluster-check`: clients that write through Nginx, and note all they see.

Standard library only, and nothing of the product: what is checked must not share code with it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

ATTEMPTS_MAX: Final = 40
RETRY_S: Final = 0.1
ANSWER_WAIT_S: Final = 30.0


@dataclass
class Operation:
    """One write, from the client's side.

    Args:
        client: which one.
        kind: `create`, `update` or `delete`.
        marker: the value of its own; in the row's name, for deletes in none.
        row: the key that it is about, None for a create until it is answered.
        key: idempotency key, None without one.
    """

    client: int
    kind: str
    marker: str
    row: str | None
    key: str | None
    start: float = 0.0
    end: float = 0.0
    status: int = 0
    event: str | None = None
    position: int | None = None
    attempts: int = 0
    fate: str = ""
    """done, rejected (by the log), refused (before it), or unknown."""


@dataclass
class Load:
    """Clients on one address, or on several.

    Args:
        port: of Nginx.
        clients: how many write at once.
        operations: in all.
        seed: of their choices.
        ports: where the clients write, in turn; all of them at `port` by default.
        pause_s: of a client between two operations.
    """

    port: int
    clients: int
    operations: int
    seed: int
    ports: tuple[int, ...] = ()
    pause_s: float = 0.0
    history: list[Operation] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    """Every answer by status, of retries too; 0 stands for none."""
    in_flight: int = 0
    stopped: bool = False
    """Set it to have every client end after its present operation."""

    async def run(self) -> None:
        """Write until all operations are done."""
        each, more = divmod(self.operations, self.clients)
        await asyncio.gather(
            *(self._client(number, each + (number < more)) for number in range(self.clients))
        )

    async def _client(self, client: int, count: int) -> None:
        chance = random.Random(self.seed * 1000 + client)
        rows: list[str] = []
        ports = self.ports or (self.port,)
        connection = Connection(ports[client % len(ports)], self.answers)
        for number in range(count):
            if self.stopped:
                break
            operation = _choose(chance, client, number, rows)
            await self._do(connection, operation)
            if operation.kind == "create" and operation.fate == "done" and operation.row:
                rows.append(operation.row)
            elif operation.kind == "delete" and operation.row in rows:
                rows.remove(operation.row)
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
        await connection.close()

    async def create(self, connection: Connection, marker: str) -> Operation:
        """One more create, noted in the history with the others."""
        operation = Operation(self.clients, "create", marker, None, None)
        await self._do(connection, operation)
        return operation

    async def _do(self, connection: Connection, operation: Operation) -> None:
        self.history.append(operation)
        operation.start = time.monotonic()
        self.in_flight += 1
        await _write(connection, operation)
        self.in_flight -= 1
        operation.end = time.monotonic()


def _choose(chance: random.Random, client: int, number: int, rows: list[str]) -> Operation:
    marker = f"w-{client}-{number}-{chance.getrandbits(32):08x}"
    key = str(uuid.UUID(int=chance.getrandbits(128))) if chance.random() < 0.5 else None
    dice = chance.random()
    if dice < 0.5 or len(rows) < 3:
        return Operation(client, "create", marker, None, key)
    row = chance.choice(rows)
    return Operation(client, "update" if dice < 0.8 else "delete", marker, row, key)


async def _write(connection: Connection, operation: Operation) -> None:
    """Send it, and again where that is safe, until its fate is known or is known to be unknown."""
    while operation.attempts < ATTEMPTS_MAX:
        operation.attempts += 1
        answer = await connection.request(*_request(operation))
        before = operation.fate
        _note(operation, answer)
        if before == "unknown" and operation.fate == "refused":
            operation.fate = "unknown"  # an earlier try may be in the log
        again = operation.key is not None and operation.fate in {"unknown", "refused"}
        if not again or operation.status == 413:
            return
        await asyncio.sleep(RETRY_S)


def _request(operation: Operation) -> tuple[str, str, Any, dict[str, str]]:
    headers = {} if operation.key is None else {"Idempotency-Key": operation.key}
    body = {"name": operation.marker, "email": f"{operation.marker}@example.com"}
    if operation.kind == "create":
        return "POST", "/users", body, headers
    path = f"/users/{operation.row}"
    if operation.kind == "update":
        return "PUT", path, body, headers
    return "DELETE", path, None, headers


def _note(operation: Operation, answer: Answer | None) -> None:
    if answer is None:
        operation.fate, operation.status = "unknown", 0
        return
    operation.status = answer.status
    operation.event = answer.headers.get("clusterlite-event", operation.event)
    token = answer.headers.get("clusterlite-token", "")
    if token and answer.status != 202:
        operation.position = int(token.rpartition(":")[2])
    if answer.status in {200, 201, 204}:
        operation.fate = "done"
        location = answer.headers.get("location", "")
        if operation.kind == "create":
            operation.row = location.rpartition("/")[2]
    elif answer.status in {404, 409, 412} and operation.event and operation.position is not None:
        operation.fate = "rejected"
    elif answer.status in {400, 403, 405, 413, 415, 422, 429, 503}:
        operation.fate = "refused"
    else:  # 202, 502 and 504: it may be in the log
        operation.fate = "unknown"


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """A kept-alive HTTP/1.1 connection; made anew when it breaks.

    Args:
        port: on loopback.
        seen: where its answers are counted by status.
    """

    def __init__(self, port: int, seen: Counter[int] | None = None) -> None:
        self._port = port
        self._seen: Counter[int] = Counter() if seen is None else seen
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer | None:
        """One request; None where no whole answer came."""
        answer = await self._request(method, path, body, headers)
        self._seen[0 if answer is None else answer.status] += 1
        return answer

    async def _request(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None
    ) -> Answer | None:
        raw = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append("Content-Type: application/json")
        lines.append(f"Content-Length: {len(raw)}")
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
            return await asyncio.wait_for(self._read(reader), ANSWER_WAIT_S)
        except (OSError, EOFError, ValueError, TimeoutError):
            await self.close()
            return None

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        status = int((await reader.readuntil(b"\r\n")).split()[1])
        headers: dict[str, str] = {}
        while line := (await reader.readuntil(b"\r\n")).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            await self.close()
        return Answer(status, headers, body)

    async def close(self) -> None:
        """Let go of it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
