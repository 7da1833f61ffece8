"""`clusterlite serve`: starts one node process and the HTTP workers, and restarts what dies.

The supervisor opens the listening socket and hands it to every worker, so that a worker's death
loses its open connections and nothing else. It ends in order: workers first, then the node.

What becomes of a child that died:

    it refused to start (EXIT_REFUSED)       everything ends: starting again would not help
    it was up for a while                    started again at once
    it was up before, in this life or not    started again, with growing pauses
    it never was up, five times in a row     everything ends: it cannot start here
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from clusterlite.cli.child import EXIT_REFUSED
from clusterlite.cli.children import STARTS_MAX, Child, how_ended, stop_all, until_next_start
from clusterlite.config import Settings
from clusterlite.errors import ConfigError
from clusterlite.telemetry import get_logger

BIND_WAIT_S: Final = 3.0
"""A node that was just killed may hold the port a moment longer."""

EXIT_CHILD: Final = 4
"""A child process cannot start."""

_log = get_logger("clusterlite.serve")


class Supervisor:
    """One `serve`.

    Args:
        settings: of the node.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signals: set[int] = set()
        self._children: list[Child] = []

    def run(self, announce: Callable[[int], None]) -> int:
        """Serve until SIGINT or SIGTERM.

        Args:
            announce: told the port, once every child is up for the first time.

        Returns:
            The exit code of the command: 0, EXIT_REFUSED or EXIT_CHILD.

        Raises:
            ConfigError: the port is in use.
        """
        listening = bind(self._settings.host, self._settings.port)
        with ExitStack() as opened:
            opened.callback(listening.close)
            life, _ = _pipe(opened)
            up, says_up = _pipe(opened)
            woken, waker = _pipe(opened)
            for descriptor in (up, woken, waker):
                os.set_blocking(descriptor, False)
            signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
            opened.callback(signal.set_wakeup_fd, -1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, lambda got, _: self._signals.add(got))
            self._children = self._make_children(life, says_up, listening.fileno())
            opened.callback(stop_all, self._children)
            for child in self._children:
                child.start()
            return self._watch(up, woken, lambda: announce(listening.getsockname()[1]))

    def _make_children(self, life: int, says_up: int, listening: int) -> list[Child]:
        settings = self._settings.model_dump_json()
        common = [str(life), str(says_up)]
        node = Child("node", common, (life, says_up), settings)
        workers = [
            Child("worker", [*common, str(listening)], (life, says_up, listening), settings)
            for _ in range(self._settings.workers)
        ]
        return [node, *workers]

    def _watch(self, up: int, woken: int, announce: Callable[[], None]) -> int:
        """Look after the children until a signal, or until that makes no sense; the exit code."""
        announced = False
        while not self._signals & {signal.SIGINT, signal.SIGTERM}:
            select.select([woken, up], [], [], until_next_start(self._children))
            _drain(woken)
            self._note_up(_drain(up))
            code = self._look_after()
            if code is not None:
                return code
            if not announced and all(child.was_up for child in self._children):
                announced = True
                announce()
        return 0

    def _note_up(self, lines: bytes) -> None:
        """Children write their process id, a line each, in one write."""
        pids = {int(line) for line in lines.split()}
        for child in self._children:
            if child.process is not None and child.process.pid in pids:
                child.is_up(time.monotonic())

    def _look_after(self) -> int | None:
        """Start again what died; the exit code where that would not help."""
        for child in self._children:
            now = time.monotonic()
            if child.process is None:
                if child.start_at <= now:
                    child.start()
                continue
            code = child.process.poll()
            if code is None:
                continue
            child.died(now)
            if code == EXIT_REFUSED:
                return EXIT_REFUSED
            if self._signals & {signal.SIGINT, signal.SIGTERM}:
                continue
            _log.warning(
                "child_died", role=child.role, how=how_ended(code), failures=child.failures
            )
            if child.hopeless:
                sys.stderr.write(
                    f"clusterlite: the {child.role} process cannot start: it died {STARTS_MAX} "
                    f"times before it was up, last {how_ended(code)}; what it said stands above\n"
                )
                return EXIT_CHILD
            if child.start_at <= now:
                child.start()
        return None


def bind(host: str, port: int) -> socket.socket:
    """The listening socket.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + BIND_WAIT_S
    while True:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(2048)
        except OSError as error:
            listening.close()
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"cannot listen on {host}:{port}: {error.strerror}; is a node running there "
                    "already? Choose another with --port, or a free one with --port 0"
                ) from error
            time.sleep(0.05)
        else:
            return listening


def _pipe(opened: ExitStack) -> tuple[int, int]:
    """The ends to read from and to write to, closed with the rest."""
    reading, writing = os.pipe()
    opened.callback(os.close, reading)
    opened.callback(os.close, writing)
    return reading, writing


def _drain(descriptor: int) -> bytes:
    """What can be read without waiting."""
    found = b""
    try:
        while read := os.read(descriptor, 4096):
            found += read
    except BlockingIOError:
        pass
    return found
