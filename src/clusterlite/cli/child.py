"""The processes that the supervisor starts: one node process, and the HTTP workers.

    python -m clusterlite.cli.child node|worker LIFE_FD UP_FD [LISTENING_FD] < SETTINGS_JSON

A child tells UP_FD that it serves (`children.Told`), so that the supervisor knows one that cannot
start from one that crashed. It ends when its parent does, however that died: the kernel then
closes the other end of the life line, and the read of it returns.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from clusterlite.cli.entities import load_entities
from clusterlite.config import Settings
from clusterlite.errors import ClusterLiteError
from clusterlite.outlet import Outlet
from clusterlite.telemetry import configure_logging

if TYPE_CHECKING:
    from clusterlite.node.node import Node

SWITCH_INTERVAL_S: Final = 0.0005
"""The interpreter's default (5 ms) shows in every hand-over between threads."""

EXIT_REFUSED: Final = 3
"""The node cannot start as it is told to; starting it again would not help."""

EXIT_DEFECT: Final = 1
"""As of a traceback: it may serve again when it is started again."""

SETTLE_S: Final = 2.0
"""How long a node that comes up is not announced yet: most are ready by then, or refused."""

_COMING_UP: Final = frozenset({"opening", "catching_up", "founding", "declaring"})

_WORDS_MAX: Final = 400
"""Characters of a reason: a line of `children.Told` must fit into one write to a pipe."""


def main() -> None:
    """Run one child."""
    role, life, up = sys.argv[1:4]
    threading.Thread(target=_end_with_parent, args=(int(life),), daemon=True).start()
    settings = Settings.model_validate_json(sys.stdin.read())
    # Ctrl-C reaches the whole group; the supervisor decides the order in which it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    configure_logging(role, settings.log_format)
    # What the imports left behind lives as long as the process: no collection looks at it again.
    gc.freeze()
    try:
        if role == "node":
            _node(settings, int(up))
        else:
            _worker(settings, int(up), int(sys.argv[4]))
    except ClusterLiteError as error:
        _refuse(error)


def _node(settings: Settings, up: int) -> None:
    from clusterlite.node.node import Node  # noqa: PLC0415 - a worker loads no node

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    node = Node(
        settings.data,
        settings.log_url,
        load_entities(settings.entities),
        node_id=settings.node_id,
        cluster=settings.cluster,
    )
    node.open(link=True, wait=False)
    try:
        _settle(node, ended)
        if node.refused is None:
            _tell(up, node=_state(node))
        while not ended.wait(0 if node.refused else 1.0):
            error = node.refused
            if error is not None:
                _refuse(error)
            if node.wait_closed(0):
                sys.stderr.write("clusterlite: the node's engine ended by itself: a defect\n")
                raise SystemExit(EXIT_DEFECT)
    finally:
        node.close()
        _tell(up, saved={"position": node.position, "tables": len(node.status()["tables"])})


def _settle(node: Node, ended: threading.Event) -> None:
    """Wait until it is ready or something keeps it from that, but not for long."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and not ended.wait(0.01):
        if node.status()["state"] not in _COMING_UP:
            return


def _state(node: Node) -> dict[str, Any]:
    status = node.status()
    reason = status["reason"]
    short = reason and {name: text[:_WORDS_MAX] for name, text in reason.items()}
    return {name: status[name] for name in ("cluster", "state", "position")} | {"reason": short}


def _worker(settings: Settings, up: int, listening: int) -> None:
    from clusterlite.http.worker import WorkerSettings, run_worker  # noqa: PLC0415
    from clusterlite.replica.folder import DataFolder  # noqa: PLC0415

    run_worker(
        WorkerSettings(
            listening=listening,
            link=DataFolder(settings.data).socket,
            host=settings.host,
            allow_origins=settings.allow_origin,
            node_id=settings.node_id,
            access_log=sys.stderr.isatty() if settings.access_log is None else settings.access_log,
            log_format=settings.log_format,
        ),
        load_entities(settings.entities),
        started=lambda: _tell(up),
    )


def _tell(up: int, **told: dict[str, Any]) -> None:
    """Write one line of `children.Told`."""
    line = json.dumps({"pid": os.getpid(), **told}, ensure_ascii=False)
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and this process is next
        os.write(up, line.encode("utf-8", errors="replace") + b"\n")


def _refuse(error: ClusterLiteError) -> NoReturn:
    sys.stderr.write(f"clusterlite: {error}\n")
    if isinstance(sys.stderr, Outlet):
        sys.stderr.drain()
    os._exit(EXIT_REFUSED)


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    os._exit(0)


if __name__ == "__main__":
    main()
