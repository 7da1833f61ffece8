"""The HTTP worker process: an ASGI server on a socket that the supervisor opened.

It holds no state. When it dies its connections are lost and no write is; when its parent dies
it ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from clusterlite.core.registry import EntityRegistry
from clusterlite.http.access import AccessLog
from clusterlite.http.app import App
from clusterlite.http.cors import Cors
from clusterlite.http.protocol import Protocol, sweep
from clusterlite.http.service import Service

BACKLOG: Final = 2048
SHUTDOWN_S: Final = 5
START_WAIT_S: Final = 2.0
"""How long connections wait at the socket for a node that comes up, before they are told so."""


@dataclass(frozen=True)
class WorkerSettings:
    """What one worker needs.

    Args:
        listening: descriptor of the socket that every worker accepts from.
        link: path of the node process's socket.
        host: that the node listens on.
        allow_origins: that may write from a browser.
        node_id: for events.
        access_log: whether each answer is a line on stderr.
        log_format: of those lines: `auto`, `text` or `json`.
    """

    listening: int
    link: Path
    host: str
    allow_origins: tuple[str, ...]
    node_id: str
    access_log: bool = False
    log_format: str = "auto"


class _Server(uvicorn.Server):
    """Uvicorn's, which says when it has started and looks after connections that wait.

    Args:
        config: of the server.
        service: whose start is not waited for any more once a signal came.
        started: called once requests are answered.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._says_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's, which ends the process where the application does not start."""
        unread_bytes_max = self._service.limits.unread_bytes
        sweeping = sweep(self.server_state.connections, unread_bytes_max)
        self._sweeping = asyncio.create_task(sweeping)
        await super().startup(sockets=sockets)
        if not self.should_exit:
            self._says_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's; connections are looked after until it ends."""
        await super().shutdown(sockets=sockets)
        self._sweeping.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's, also while it starts."""
        super().handle_exit(sig, frame)
        self._service.stop_waiting()


def run_worker(
    settings: WorkerSettings, registry: EntityRegistry, started: Callable[[], None]
) -> None:
    """Serve until SIGTERM.

    Args:
        settings: of the worker.
        registry: the entities that it serves.
        started: called once it answers requests.
    """
    service = Service(
        registry,
        settings.link,
        Cors(settings.host, settings.allow_origins),
        node_id=settings.node_id,
    )
    listening = socket.socket(fileno=settings.listening)
    observe = AccessLog(sys.stderr, settings.log_format) if settings.access_log else None
    server = _Server(
        uvicorn.Config(
            App(service, observe, START_WAIT_S),
            loop="uvloop",
            http=Protocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            # Nothing here uses the client's address; a proxy's word for it costs every request.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_S,
        ),
        service,
        started,
    )
    server.run(sockets=[listening])
