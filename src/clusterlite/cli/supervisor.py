"""`clusterlite serve`: starts one node process and the HTTP workers, and restarts what dies.

The supervisor opens the listening socket and hands it to every worker, so that a worker's death
loses its open connections and nothing else. It ends in order: workers first, then the node.

What becomes of a child that died:

    it refused to start (EXIT_REFUSED)       everything ends: starting again would not help
    it refused after a reload                it is started again with the next change
    it was up for a while                    started again at once
    it was up before, in this life or not    started again, with growing pauses
    it never was up, five times in a row     everything ends: it cannot start here
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from clusterlite.cli.child import EXIT_REFUSED
from clusterlite.cli.children import (
    STARTS_MAX,
    Child,
    how_ended,
    read_told,
    stop_all,
    until_next_start,
)
from clusterlite.cli.listening import bind
from clusterlite.cli.neighbours import leave_url, refuse_if_served, remove_url, url_of
from clusterlite.cli.reload import NO_BYTECODE, POLL_S, Reload
from clusterlite.cli.voice import Voice
from clusterlite.config import Settings
from clusterlite.telemetry import get_logger

EXIT_CHILD: Final = 4
"""A child process cannot start."""

_STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM})

_log = get_logger("clusterlite.serve")

Announce = Callable[[Settings, dict[str, Any]], None]
"""Told the settings with the port and name that were found, and the node's state."""


class Ended(NamedTuple):
    """How a `serve` ended.

    Args:
        code: of the command: 0, EXIT_REFUSED or EXIT_CHILD.
        saved: position and count of tables, as the node process told at its end; None where it
            did not.
        served_s: how long ago it was started, in seconds; None where it never served.
    """

    code: int
    saved: dict[str, Any] | None
    served_s: float | None


class Supervisor:
    """One `serve`.

    Args:
        settings: of the node.
        voice: that says what becomes of a reload.
    """

    def __init__(self, settings: Settings, voice: Voice) -> None:
        self._settings = settings
        self._voice = voice
        self._signals: set[int] = set()
        self._children: list[Child] = []
        self._node: dict[str, Any] | None = None
        self._saved: dict[str, Any] | None = None
        self._announced = False
        self._reload: Reload | None = None
        self._reloading_since: float | None = None

    def run(self, announce: Announce) -> Ended:
        """Serve until SIGINT or SIGTERM.

        Args:
            announce: called once every child is up for the first time.

        Raises:
            ConfigError: the port or the data folder is in use.
        """
        started = time.monotonic()
        settings = self._settings
        listening = bind(settings.host, settings.port, settings.data)
        with ExitStack() as opened:
            opened.callback(listening.close)
            refuse_if_served(settings.data)
            life, _ = _pipe(opened)
            up, says_up = _pipe(opened)
            woken, waker = _pipe(opened)
            for descriptor in (up, woken, waker):
                os.set_blocking(descriptor, False)
            signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
            opened.callback(signal.set_wakeup_fd, -1)
            for number in (*_STOPPING, signal.SIGCHLD):
                signal.signal(number, lambda got, _: self._signals.add(got))
            settings = self._settings = _found(settings, listening)
            self._children = self._make_children(life, says_up, listening.fileno())
            opened.callback(lambda: self._note_told(_drain(up)))
            opened.callback(stop_all, self._children)
            if settings.reload:
                self._reload = Reload(settings.model_dump_json(), self._voice, settings.entities)
                opened.callback(self._reload.close)
            opened.callback(self._forget_url)
            for child in self._children:
                child.start()
            code = self._watch(up, woken, announce)
        served_s = time.monotonic() - started if self._announced else None
        return Ended(code, self._saved, served_s)

    def _make_children(self, life: int, says_up: int, listening: int) -> list[Child]:
        settings = self._settings.model_dump_json()
        environment = NO_BYTECODE if self._settings.reload else {}
        common = [str(life), str(says_up)]
        node = Child("node", common, (life, says_up), settings, environment=environment)
        workers = [
            Child(
                "worker",
                [*common, str(listening)],
                (life, says_up, listening),
                settings,
                environment=environment,
            )
            for _ in range(self._settings.workers)
        ]
        return [node, *workers]

    def _watch(self, up: int, woken: int, announce: Announce) -> int:
        """Look after the children until a signal, or until that makes no sense; the exit code."""
        while not self._signals & _STOPPING:
            select.select([woken, up], [], [], self._pause())
            _drain(woken)
            self._note_told(_drain(up))
            code = self._look_after()
            if code is not None:
                return code
            if self._reload is not None and self._reload.step(time.monotonic()):
                self._restart()
            self._say_if_up(announce)
        return 0

    def _pause(self) -> float | None:
        """How long nothing has to be looked at, in seconds; None until something is told."""
        pause = until_next_start(self._children)
        if self._reload is None:
            return pause
        return POLL_S if pause is None else min(POLL_S, pause)

    def _note_told(self, lines: bytes) -> None:
        for told in read_told(lines):
            self._node = told.get("node", self._node)
            self._saved = told.get("saved", self._saved)
            for child in self._children:
                if child.process is not None and child.process.pid == told["pid"]:
                    child.is_up(time.monotonic())

    def _say_if_up(self, announce: Announce) -> None:
        """Say that it serves, or serves again, once every child does."""
        if self._node is None or any(child.up_at is None for child in self._children):
            return
        if not self._announced:
            self._announced = True
            leave_url(self._settings.data, url_of(self._settings.host, self._settings.port))
            announce(self._settings, self._node)
        elif self._reload is not None and self._reloading_since is not None:
            took_s = time.monotonic() - self._reloading_since
            self._reloading_since = None
            changed = self._reload.changed
            self._voice.say(
                "reloaded",
                f"reloaded in {took_s:.1f} s, {', '.join(changed)} changed",
                files=changed,
                seconds=round(took_s, 1),
            )

    def _restart(self) -> None:
        """Start every child anew; connections that come meanwhile wait at the socket."""
        self._reloading_since = time.monotonic()
        stop_all(self._children)
        for child in self._children:
            child.failures = 0
            child.start()

    def _forget_url(self) -> None:
        if self._announced:
            remove_url(self._settings.data)

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
                if not self._waits_for_change(child):
                    return EXIT_REFUSED
                continue
            if self._signals & _STOPPING:
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

    def _waits_for_change(self, child: Child) -> bool:
        """Whether a child that refuses what it was started with is started with the next change."""
        if self._reload is None or self._reloading_since is None:
            return False
        child.start_at = math.inf
        self._voice.say("reload_waits", "waiting for the next change", role=child.role)
        return True


def _found(settings: Settings, listening: socket.socket) -> Settings:
    """The settings with the port that was taken, and a name that tells two nodes here apart."""
    port = listening.getsockname()[1]
    node_id = settings.node_id or f"{socket.gethostname()}:{port}"
    return settings.model_copy(update={"port": port, "node_id": node_id})


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
