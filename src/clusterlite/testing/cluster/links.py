"""Links: TCP between a node and its brokers that can be cut, made deaf, slowed or refused.

    with Links() as links:
        door = links.door(target_port=9092)      a port of loopback that leads there
        links.set("cut")                         nothing passes, nothing is refused
        links.set("open")

A cut link is a network that lost every packet: connections stay, and what was sent arrives once
it is open again. A deaf one lets the node speak and not hear, a mute one hear and not speak; when
they open, their connections are reset, so that what one side had said is lost for good. A half-open
one has no brokers behind it any more, and the node is not told: its connections stay, and nobody
answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

MODES: Final = frozenset({"open", "cut", "deaf", "mute", "half-open", "slow", "refused"})
SLOW_S: Final = 0.2
_LOSING: Final = frozenset({"deaf", "mute", "half-open"})
"""What was held back in these never arrives."""

_CHUNK_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: a close sends a reset."""


class Links:
    """All links of one node; they share a mode. Runs on a thread of its own."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        """Of the doors, where the node connects."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._mode = "open"
        self._changed = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._far: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def door(self, target_port: int, port: int = 0) -> int:
        """Listen on a port of loopback (a free one for 0) that leads to another; the port."""

        async def listen() -> int:
            async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._carry(reader, writer, target_port)

            server = await asyncio.start_server(accepted, "127.0.0.1", port)
            self._servers.append(server)
            found: int = server.sockets[0].getsockname()[1]
            self.ports.append(found)
            return found

        return int(self._run(listen()))

    def set(self, mode: str) -> None:
        """Change what the links do with what is sent.

        Args:
            mode: one of `MODES`.
        """
        if mode not in MODES:
            raise ValueError(f"no mode {mode!r}; known are {', '.join(sorted(MODES))}")

        async def change() -> None:
            before, self._mode = self._mode, mode
            if mode == "refused" or before in _LOSING:
                for writer in list(self._writers):
                    _reset(writer)
            elif mode == "half-open":
                for writer in list(self._far):
                    _reset(writer)
            self._changed.set()
            self._changed = asyncio.Event()

        self._run(change())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in list(self._writers):
            _reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target_port: int
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self._mode == "refused":
                return
            await self._passes("cut", "half-open")
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target_port)
            self._writers.add(far_writer)
            self._far.add(far_writer)
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, ("cut", "mute")),
                    self._pump(far_reader, writer, ("cut", "deaf")),
                )
            finally:
                self._writers.discard(far_writer)
                self._far.discard(far_writer)
                _reset(far_writer)
        except (OSError, EOFError):
            # One side is gone: so is the connection, once the other may know of it.
            await self._passes("half-open")
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            _reset(writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: tuple[str, ...]
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._passes(*held)
            if self._mode == "slow":
                await asyncio.sleep(SLOW_S)
            writer.write(data)
            await writer.drain()
        raise EOFError

    async def _passes(self, *held: str) -> None:
        while self._mode in held:
            await self._changed.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close it so that what was not delivered is lost, as with a host that went away."""
    with contextlib.suppress(OSError):
        found: socket.socket | None = writer.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
