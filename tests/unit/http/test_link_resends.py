"""Events that a node refuses while it catches up are sent again, ever more seldom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from clusterlite.core.outcome import Applied, Outcome
from clusterlite.errors import NotServing, OutcomeUnknown
from clusterlite.http import link
from clusterlite.http.link import LinkClient
from clusterlite.node import frames
from clusterlite.node.answers import Answer

EVENTS = 50
TICK_S = 0.1
WAIT_S = 30.0


class Refusing:
    """The link to a node that refuses every event until it `serves`."""

    def __init__(self) -> None:
        self.submitted: list[frames.Submitted] = []
        self.serves = False

    def write(self, data: bytes) -> None:
        for body in frames.split(bytearray(data)):
            frame = frames.decode_request(body)
            assert isinstance(frame, frames.Submit)
            self.submitted += frame.events

    def close(self) -> None:
        """Nothing."""


class Worker:
    """A worker whose node started again with `EVENTS` events in flight, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr(link, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.answers: list[Answer] = []
        self.wire = Refusing()
        self.client = LinkClient(Path("no-such-socket"), lambda _: None)
        self.client.connection_made(cast("asyncio.WriteTransport", self.wire))
        for number in range(EVENTS):
            self.client.submit(f"e-{number}", b"x", WAIT_S, self.answers.append)
        self.client._flush()
        self.client.connection_made(cast("asyncio.WriteTransport", self.wire))
        assert self.take() == 2 * EVENTS

    def take(self) -> int:
        """How many events came since the last call; all of them are answered."""
        came, self.wire.submitted = self.wire.submitted, []
        for event in came:
            applied = Applied(Outcome(7, event.event_id, "applied"), ())
            answer = applied if self.wire.serves else NotServing("it catches up")
            answered = frames.Answers([frames.answered(event.seq, answer)])
            self.client.received(frames.encode(answered)[frames.LENGTH_BYTES :])
        return len(came)

    def tick(self) -> int:
        self.now_s += TICK_S
        self.client._sweep_once()
        return self.take()


def test_resends_grow_seldom_and_stop_with_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        worker = Worker(monkeypatch)
        counts = [worker.tick() for _ in range(int((WAIT_S - 1) / TICK_S))]
        assert sum(counts[:10]) >= 2 * EVENTS, "at first it is sent again soon"
        assert 10 * EVENTS <= sum(counts) <= 22 * EVENTS
        assert worker.answers == []
        last = [worker.tick() for _ in range(50)]
        assert last[-25:] == [0] * 25
        assert {type(answer) for answer in worker.answers} == {OutcomeUnknown}

    asyncio.run(run())


def test_a_node_that_says_it_serves_is_sent_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        worker = Worker(monkeypatch)
        while worker.now_s < 1_010.05:
            worker.tick()
        worker.wire.serves = True
        hello = frames.Hello(frames.PROTOCOL, "n", "inc", "c", "replica", 0, True, 7)
        worker.client.received(frames.encode(hello)[frames.LENGTH_BYTES :])
        assert worker.take() == EVENTS
        assert len(worker.answers) == EVENTS
        assert all(isinstance(answer, Applied) for answer in worker.answers)
        assert worker.tick() == 0

    asyncio.run(run())
