"""One kept-alive HTTP/1.1 connection on loopback, by the standard library alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

ANSWER_WAIT_S: Final = 20.0


class Answer(NamedTuple):
    """Status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Connection:
    """A connection to one port; made anew when it breaks.

    Args:
        port: on loopback.
        seen: where its answers are counted by status, 0 for none.
    """

    def __init__(self, port: int, seen: Counter[int] | None = None) -> None:
        self.port = port
        self._seen: Counter[int] = Counter() if seen is None else seen
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = ANSWER_WAIT_S,
    ) -> Answer | None:
        """One request; None where no whole answer came in time."""
        raw = _spelled(self.port, method, path, body, headers or {})
        try:
            answer = await asyncio.wait_for(self._exchange(raw), wait_s)
        except (OSError, EOFError, ValueError, TimeoutError):
            await self.close()
            answer = None
        self._seen[0 if answer is None else answer.status] += 1
        return answer

    async def _exchange(self, raw: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding") == "chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            await self.close()
        return Answer(int(head[0].split()[1]), headers, body)

    async def close(self) -> None:
        """Let go of it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _spelled(port: int, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append("Content-Type: application/json")
    lines.append(f"Content-Length: {len(raw)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body
