"""The link's server side: HTTP workers reach the node over a Unix socket in the data folder.

Everything here runs in the engine's turn, on its thread or the follower's. What became known in
a tick leaves in one frame a worker. A worker that does not read is dropped when its frames exceed
a bound (I14): it loses its connection, and comes again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from clusterlite.errors import ConfigError
from clusterlite.node import frames
from clusterlite.node.answers import Answer, Submission
from clusterlite.node.engine import Engine
from clusterlite.telemetry import get_logger

OUTGOING_BYTES_MAX: Final = 64 * 1024 * 1024
_RECEIVE_BYTES: Final = 1024 * 1024
_BACKLOG: Final = 64

_log = get_logger("clusterlite.link")


class LinkServer:
    """Accepts workers.

    Args:
        engine: answers them.
        submit: takes their events.
        path: of the socket; an older one there is replaced, since the folder is locked.
        hello: what a worker is told first.
        status: what `Ask` is answered.
    """

    def __init__(
        self,
        engine: Engine,
        submit: Callable[[Submission], None],
        path: Path,
        hello: Callable[[], frames.Hello],
        status: Callable[[], dict[str, Any]],
    ) -> None:
        self.engine = engine
        self.submit = submit
        self.hello = hello
        self.status = status
        self._path = path
        self._peers: set[_Peer] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        path.unlink(missing_ok=True)
        try:
            self._socket.bind(os.fspath(path))
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"cannot listen on {path}: {error.strerror}") from error
        path.chmod(0o600)
        self._socket.listen(_BACKLOG)
        engine.loop.watch(self._socket.fileno(), self._accept)
        engine.after_tick.append(self._flush)

    def close(self) -> None:
        """Drop every worker and stop listening."""
        for peer in list(self._peers):
            self.drop(peer)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def greet(self) -> None:
        """Tell every worker that what `Hello` says has changed."""
        for peer in self._peers:
            peer.send(self.hello())

    def drop(self, peer: _Peer) -> None:
        """End one connection."""
        self.engine.loop.forget(peer.socket.fileno())
        self._peers.discard(peer)
        peer.socket.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except OSError as error:  # the worker is gone again, or there is no descriptor left
            _log.warning("link_accept", error=str(error))
            return
        accepted.setblocking(False)
        peer = _Peer(self, accepted)
        self._peers.add(peer)
        self.engine.loop.watch(accepted.fileno(), peer.readable)
        peer.send(self.hello())

    def _flush(self) -> None:
        for peer in list(self._peers):
            peer.flush()


class _Peer:
    """One worker's connection."""

    def __init__(self, server: LinkServer, connected: socket.socket) -> None:
        self.socket = connected
        self._server = server
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._answers: list[frames.Answered] = []
        self._blocked = False
        self._closed = False

    def readable(self) -> None:
        try:
            received = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._drop()
            return
        self._incoming += received
        try:
            for body in frames.split(self._incoming):
                self._handle(frames.decode_request(body))
        except (ValueError, msgspec.DecodeError) as error:
            _log.warning("link_protocol", error=str(error))
            self._drop()

    def _handle(self, frame: frames.Submit | frames.Await | frames.Tail | frames.Ask) -> None:
        now = time.monotonic()
        engine = self._server.engine
        if isinstance(frame, frames.Submit):
            for event in frame.events:
                self._server.submit(
                    Submission(
                        event.event_id,
                        event.value,
                        self._reply(event.seq),
                        now + event.wait_ms / 1000,
                        event.early,
                    )
                )
        elif isinstance(frame, frames.Await):
            deadline = now + frame.wait_ms / 1000
            engine.await_position(frame.position, deadline, self._reply(frame.seq))
        elif isinstance(frame, frames.Tail):
            engine.await_tail(now + frame.wait_ms / 1000, self._reply(frame.seq))
        else:
            self.send(frames.Status(frame.seq, self._server.status()))

    def _reply(self, seq: int) -> Callable[[Answer], None]:
        return lambda answer: self._answers.append(frames.answered(seq, answer))

    def send(self, frame: frames.Hello | frames.Status | frames.Answers) -> None:
        self._outgoing += frames.encode(frame)

    def flush(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self.send(frames.Answers(answers))
        if self._outgoing:
            self._write()

    def _write(self) -> None:
        loop = self._server.engine.loop
        try:
            sent = self.socket.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop()
            return
        del self._outgoing[:sent]
        if len(self._outgoing) > OUTGOING_BYTES_MAX:
            _log.warning("link_slow_worker", bytes=len(self._outgoing))
            self._drop()
        elif bool(self._outgoing) != self._blocked:
            self._blocked = not self._blocked
            writable = self._write if self._blocked else None
            loop.watch(self.socket.fileno(), self.readable, writable)

    def _drop(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.drop(self)
