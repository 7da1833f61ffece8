"""The link's client side: what a worker asks of the node process (see `node.frames`).

1. What is asked in one tick of the event loop leaves in one frame.
2. A broken link is made anew, and events still waited for are sent again, the same bytes: the
   event's id makes that safe (I3). The wait ends when its time is over, not when the link breaks.
3. A failure before the first byte was given to the socket is definite; after it, unknown (I11).
   A node that refuses what an earlier process was sent says nothing of the first sending: the
   event is sent again, ever more seldom, until its outcome is known or its wait is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from clusterlite.errors import Behind, ClusterLiteError, NotServing, OutcomeUnknown, Overloaded
from clusterlite.node import frames
from clusterlite.node.answers import Answer
from clusterlite.telemetry import get_logger

GRACE_S: Final = 0.5
"""The node answers at its own deadline; this much later the worker stops waiting by itself."""

EARLY_FLUSH: Final = 32
"""Questions that leave before the tick ends: the node works while this process reads on."""

ASKED_MAX: Final = 20_000
"""Questions of one worker that wait for their answers; past it, `Overloaded`."""

ASKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of the events among them: all of them are one frame after a break of the link."""

RECONNECT_S: Final = 0.05

RESEND_MIN_S: Final = 0.1
"""How long after a refusal its event is sent again; twice as long after each further one …"""

RESEND_MAX_S: Final = 2.0
"""… up to this. A node that says that it serves now is sent all of them at once."""

_SWEEP_S: Final = 0.1
_STATUS_WAIT_S: Final = 2.0

_log = get_logger("clusterlite.link")


class _Asked:
    """One question on its way."""

    __slots__ = ("deadline", "frame", "pause_s", "reply", "resend_at", "sent")

    def __init__(
        self,
        frame: frames.Submitted | frames.Await | frames.Tail,
        reply: Callable[[Answer], None],
        deadline: float,
    ) -> None:
        self.frame = frame
        self.reply = reply
        self.deadline = deadline
        self.sent = 0
        self.pause_s = RESEND_MIN_S
        self.resend_at: float | None = None
        """Set while it is refused."""

    def refused(self, now: float) -> None:
        """It is to be sent again, later."""
        self.resend_at = now + self.pause_s
        self.pause_s = min(self.pause_s * 2, RESEND_MAX_S)

    def answer(self, answer: Answer) -> None:
        """Tell whoever asked; a defect there is no reason that others wait."""
        try:
            self.reply(answer)
        except Exception as error:  # noqa: BLE001
            _log.error("defect", task="reply", exc_info=error)

    def doubts(self, answer: Answer) -> bool:
        """Whether a refusal leaves open what became of an earlier sending."""
        return (
            self.sent > 1
            and isinstance(self.frame, frames.Submitted)
            and isinstance(answer, ClusterLiteError)
            and not isinstance(answer, OutcomeUnknown)
        )


class LinkClient:
    """Talks to one node process; belongs to one event loop.

    Args:
        path: of the node's socket.
        greeted: told whenever the node says something new about itself.
    """

    def __init__(self, path: Path, greeted: Callable[[frames.Hello], None]) -> None:
        self.hello: frames.Hello | None = None
        self._path = path
        self._greeted = greeted
        self._asked: dict[int, _Asked] = {}
        self._asked_bytes = 0
        self._statuses: dict[int, asyncio.Future[dict[str, Any] | None]] = {}
        self._outgoing: list[_Asked] = []
        self._seq = itertools.count()
        self._transport: asyncio.WriteTransport | None = None
        self._flushing = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        """Whether the node process is there."""
        return self._transport is not None

    async def open(self) -> None:
        """Begin to connect; returns at once."""
        self._tasks = [asyncio.create_task(self._connect()), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        """Stop; what is waited for is answered as unknown."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._transport is not None:
            self._transport.close()
        for seq in list(self._asked):
            self._give_up(seq)

    def submit(
        self,
        event_id: str,
        value: bytes,
        wait_s: float,
        reply: Callable[[Answer], None],
        *,
        early: bool = False,
    ) -> None:
        """Send an event to the log.

        Args:
            event_id: of the event.
            value: the record's bytes.
            wait_s: how long its outcome is waited for, in seconds.
            reply: told the outcome or an error, once; must not raise.
            early: answer as soon as the log has it.
        """
        frame = frames.Submitted(next(self._seq), event_id, value, int(wait_s * 1000), early)
        self._ask(frame, wait_s, reply)

    def await_position(self, position: int, wait_s: float) -> asyncio.Future[Answer]:
        """Wait until the replica has applied up to a position."""
        reply, future = _future()
        self._ask(frames.Await(next(self._seq), position, int(wait_s * 1000)), wait_s, reply)
        return future

    def tail(self, wait_s: float) -> asyncio.Future[Answer]:
        """Wait until the replica has all that was acknowledged before this call."""
        reply, future = _future()
        self._ask(frames.Tail(next(self._seq), int(wait_s * 1000)), wait_s, reply)
        return future

    def decide(self, event_id: str, value: bytes, wait_s: float) -> asyncio.Future[Answer]:
        """Send an event, a FENCE for example, whose answer is waited for."""
        reply, future = _future()
        self.submit(event_id, value, wait_s, reply)
        return future

    async def status(self) -> dict[str, Any] | None:
        """The node's status; None where it does not answer."""
        if self._transport is None:
            return None
        seq = next(self._seq)
        future: asyncio.Future[dict[str, Any] | None]
        future = asyncio.get_running_loop().create_future()
        self._statuses[seq] = future
        self._transport.write(frames.encode(frames.Ask(seq)))
        try:
            return await asyncio.wait_for(future, _STATUS_WAIT_S)
        except TimeoutError:
            return None
        finally:
            self._statuses.pop(seq, None)

    def _ask(
        self,
        frame: frames.Submitted | frames.Await | frames.Tail,
        wait_s: float,
        reply: Callable[[Answer], None],
    ) -> None:
        if self._transport is None:
            reply(NotServing("the node process is not there; it is being started"))
            return
        size = _size(frame)
        if len(self._asked) >= ASKED_MAX or self._asked_bytes + size > ASKED_BYTES_MAX:
            reply(Overloaded(f"{len(self._asked)} requests of this worker wait for the node"))
            return
        self._asked_bytes += size
        asked = _Asked(frame, reply, time.monotonic() + wait_s + GRACE_S)
        self._asked[frame.seq] = asked
        self._outgoing.append(asked)
        if len(self._outgoing) >= EARLY_FLUSH:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None or not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, []
        events: list[frames.Submitted] = []
        for asked in outgoing:
            asked.sent += 1
            asked.resend_at = None
            if isinstance(asked.frame, frames.Submitted):
                events.append(asked.frame)
            else:
                self._transport.write(frames.encode(asked.frame))
        if events:
            self._transport.write(frames.encode(frames.Submit(events)))

    # What arrives.

    def connection_made(self, transport: asyncio.WriteTransport) -> None:
        """The node process is there: send again what is still waited for."""
        self._transport = transport
        self._outgoing = list(self._asked.values())
        self._flush()

    def connection_lost(self) -> None:
        """The node process is gone, or dropped this worker."""
        self._transport = None
        for future in self._statuses.values():
            if not future.done():
                future.set_result(None)

    def received(self, body: bytes) -> None:
        """One frame."""
        frame = frames.decode_answer(body)
        if isinstance(frame, frames.Answers):
            for item in frame.answers:
                self._answered(item.seq, frames.answer_of(item))
        elif isinstance(frame, frames.Hello):
            if frame.protocol != frames.PROTOCOL:
                raise ValueError(f"the node speaks protocol {frame.protocol} of the link")
            serves = frame.serving and not (self.hello is not None and self.hello.serving)
            self.hello = frame
            self._greeted(frame)
            if serves:
                self._resend(math.inf)
        else:
            future = self._statuses.get(frame.seq)
            if future is not None and not future.done():
                future.set_result(frame.status)

    def _answered(self, seq: int, answer: Answer) -> None:
        asked = self._asked.get(seq)
        if asked is None:
            return
        if asked.doubts(answer):
            asked.refused(time.monotonic())
            return
        del self._asked[seq]
        self._asked_bytes -= _size(asked.frame)
        asked.answer(answer)

    # Tasks.

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            closed = loop.create_future()
            try:
                await loop.create_unix_connection(
                    lambda closed=closed: _Wire(self, closed),  # type: ignore[misc]
                    str(self._path),
                )
                await closed
            except OSError as error:
                _log.debug("link_down", error=str(error))
            except Exception as error:  # noqa: BLE001 - without this task the link stays down
                _log.error("defect", task="connect", exc_info=error)
            await asyncio.sleep(RECONNECT_S)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                self._sweep_once()
            except Exception as error:  # noqa: BLE001 - without this task no wait would end
                _log.error("defect", task="sweep", exc_info=error)

    def _sweep_once(self) -> None:
        now = time.monotonic()
        for seq, asked in list(self._asked.items()):
            if asked.deadline <= now:
                self._give_up(seq)
        self._resend(now)

    def _resend(self, now: float) -> None:
        """Send again what was refused and is due."""
        for asked in self._asked.values():
            if asked.resend_at is not None and asked.resend_at <= now:
                asked.resend_at = None
                self._outgoing.append(asked)
        self._flush()

    def _give_up(self, seq: int) -> None:
        asked = self._asked.pop(seq)
        self._asked_bytes -= _size(asked.frame)
        error: ClusterLiteError
        if not isinstance(asked.frame, frames.Submitted):
            error = Behind("the node did not answer in time")
        elif asked.sent > 0:
            error = OutcomeUnknown(asked.frame.event_id)
        else:
            error = NotServing("the node process was not there in time")
        asked.answer(error)


def _size(frame: frames.Submitted | frames.Await | frames.Tail) -> int:
    return len(frame.value) if isinstance(frame, frames.Submitted) else 0


def _future() -> tuple[Callable[[Answer], None], asyncio.Future[Answer]]:
    """A future, and what gives it its result unless nobody waits any more."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def reply(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    return reply, future


class _Wire(asyncio.Protocol):
    """Cuts the stream into frames."""

    def __init__(self, client: LinkClient, closed: asyncio.Future[None]) -> None:
        self._client = client
        self._closed = closed
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, and are what they are.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._client.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for body in frames.split(self._buffer):
                self._client.received(body)
        except Exception as error:  # noqa: BLE001 - whatever it is, a new link may be sound
            _log.exception("link_protocol", error=str(error))
            if self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if not self._closed.done():
            self._closed.set_result(None)
        self._client.connection_lost()
