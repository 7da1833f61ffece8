"""A node with its HTTP application in this process: several of them may share one log in memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from clusterlite import Entity, Node, TableOperations
from clusterlite.core.registry import EntityRegistry
from clusterlite.http.app import App
from clusterlite.http.cors import Cors
from clusterlite.http.protocol import Protocol
from clusterlite.http.service import Service
from clusterlite.log.base import Log
from clusterlite.replica.folder import DataFolder
from tests.processes import WAIT_S, Answer


class AppNode:
    """One node, and one worker's application on a thread of its own.

    Args:
        data: the node's folder.
        log: a handle of its own.
        entities: that both know.
        cluster: the id that the log must have; any where it is empty.
        ready: return from the start once it is ready; else at once.
    """

    def __init__(
        self,
        data: Path,
        log: Log,
        entities: Sequence[type[Entity] | TableOperations],
        cluster: str = "",
        *,
        ready: bool = True,
    ) -> None:
        self.node = Node(data, log, entities, node_id=data.name, cluster=cluster)
        self._ready = ready
        self._server: asyncio.Server | None = None
        self._connections: set[Any] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        registry = EntityRegistry(entities)
        socket = DataFolder(data).socket
        self._service = Service(registry, socket, Cors("127.0.0.1"), node_id=data.name)
        self._app = App(self._service)

    def __enter__(self) -> Self:
        self.node.open(link=True, wait=self._ready)
        self._thread.start()
        self._run(self._service.open(WAIT_S if self._ready else 0))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End both; idempotent."""
        if not self._thread.is_alive():
            return
        if self._server is not None:
            self._loop.call_soon_threadsafe(self._server.close)
        self._run(self._service.link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._service.close()
        self._loop.close()
        self.node.close()

    def listen(self) -> str:
        """Serve on a port of its own, as a worker does; the address."""
        return f"http://127.0.0.1:{self._run(self._listen())}"

    async def _listen(self) -> int:
        config = uvicorn.Config(
            self._app, http=Protocol, lifespan="off", log_config=None, proxy_headers=False
        )
        config.load()
        state = ServerState()
        self._connections = state.connections
        self._server = await self._loop.create_server(
            lambda: Protocol(config, state, {}), "127.0.0.1", 0
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def unsent(self) -> int:
        """Bytes of answers that no client has taken yet."""
        return sum(connection.transport.get_write_buffer_size() for connection in self._clients())

    def expire(self, now: float) -> int:
        """Look after connections as a worker does each second; how many there are before.

        Args:
            now: which time it is for them, in seconds.
        """
        return self._run(self._expire(now))

    async def _expire(self, now: float) -> int:
        clients = self._clients()
        for connection in clients:
            connection.expire(now)
        return len(clients)

    def _clients(self) -> list[Any]:
        return list(self._connections)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; as `tests.processes.request`."""
        return self._run(self._ask(method, path, body, headers or {}))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            content = b"" if body is None else json.dumps(body).encode()
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        told = {"host": "127.0.0.1", "content-type": "application/json", **headers}
        await self._app(
            {
                "type": "http",
                "method": method,
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in told.items()],
            },
            receive,
            send,
        )
        start, *rest = sent
        names = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], names, b"".join(part.get("body", b"") for part in rest))
