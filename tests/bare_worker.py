"""A worker's application on its real HTTP protocol, in this process and without a node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import uvicorn
import uvloop
from uvicorn.server import ServerState

from clusterlite.core.registry import EntityRegistry
from clusterlite.examples.users import User
from clusterlite.http import protocol
from clusterlite.http.app import App
from clusterlite.http.cors import Cors
from clusterlite.http.protocol import Protocol
from clusterlite.http.service import Limits, Service

START_S = 30


class Worker(NamedTuple):
    """A running one."""

    port: int
    connections: set[Any]


def make_app(folder: Path, limits: Limits | None = None, kind: type[App] = App) -> App:
    """An application that serves the sample's users and finds no node."""
    registry = EntityRegistry()
    registry.register(User)
    service = Service(
        registry, folder / "node.sock", Cors("127.0.0.1"), limits or Limits(), node_id="n"
    )
    return kind(service)


@contextmanager
def serving(app: App, unread_bytes_max: int = Limits.unread_bytes) -> Iterator[Worker]:
    """A worker, while it runs on a thread of its own."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", proxy_headers=False)
    config.load()
    started: Queue[tuple[asyncio.AbstractEventLoop, Worker]] = Queue()
    ended = asyncio.Event()

    async def serve() -> None:
        loop, state = asyncio.get_running_loop(), ServerState()
        server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
        sweeping = loop.create_task(protocol.sweep(state.connections, unread_bytes_max))
        started.put((loop, Worker(server.sockets[0].getsockname()[1], state.connections)))
        await ended.wait()
        sweeping.cancel()
        server.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    loop, worker = started.get(timeout=START_S)
    try:
        yield worker
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
