"""The worker's side of the link when the node process dies: what was sent once may be in the log,
so no later refusal makes it "did not happen" (I11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from clusterlite.core.outcome import Applied, Outcome
from clusterlite.errors import ClusterLiteError, Halt, LogUnavailable, NotServing, OutcomeUnknown
from clusterlite.http.link import LinkClient
from clusterlite.node import frames
from clusterlite.node.answers import Answer

EVENT = "0192d0c0-0000-7000-8000-000000000001"
APPLIED = Applied(Outcome(7, EVENT, "applied"), ())

Reply = Callable[[int], Answer | None]
"""What the node says to the n-th event that it is sent; None ends the process instead."""


class FakeNode:
    """A node process as workers see it: each connection is another start of it."""

    def __init__(self, path: Path, reply: Reply) -> None:
        self.submitted: list[bytes] = []
        self._path = path
        self._reply = reply
        self._done = asyncio.Condition()
        self._open = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        async with self._done:
            await self._done.wait_for(lambda: self._open == 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()
            async with self._done:
                self._open -= 1
                self._done.notify_all()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        while received := await reader.read(65536):
            buffer += received
            for body in frames.split(buffer):
                frame = frames.decode_request(body)
                assert isinstance(frame, frames.Submit)
                answer = self._reply(len(self.submitted))
                self.submitted += [event.value for event in frame.events]
                if answer is None:
                    return
                answered = [frames.answered(event.seq, answer) for event in frame.events]
                writer.write(frames.encode(frames.Answers(answered)))


def submit(path: Path, replies: list[Answer | None], wait_s: float) -> tuple[Answer, list[bytes]]:
    """What a worker makes of an event that the node answers so, its last word repeated."""

    async def run() -> tuple[Answer, list[bytes]]:
        def reply(number: int) -> Answer | None:
            return replies[min(number, len(replies) - 1)]

        async with FakeNode(path, reply) as node:
            client = LinkClient(path, lambda _: None)
            await client.open()
            while not client.connected:
                await asyncio.sleep(0)
            try:
                async with asyncio.timeout(10):
                    return await client.decide(EVENT, b"event", wait_s), node.submitted
            finally:
                await client.close()

    return asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.sock"


REFUSALS: list[ClusterLiteError] = [
    NotServing("the node is still opening its log"),
    LogUnavailable("no leader"),
    Halt("log_gap", "trimmed", "restore"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
def test_what_an_earlier_process_took_is_sent_again_until_its_outcome_is_known(
    path: Path, refusal: ClusterLiteError
) -> None:
    answer, sent = submit(path, [None, refusal, refusal, APPLIED], 5.0)
    assert answer == APPLIED
    assert sent == [b"event"] * 4


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
def test_what_an_earlier_process_took_is_unknown_when_the_wait_is_over(
    path: Path, refusal: ClusterLiteError
) -> None:
    answer, sent = submit(path, [None, refusal], 0.2)
    assert isinstance(answer, OutcomeUnknown)
    assert answer.event_id == EVENT
    assert set(sent) == {b"event"}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
def test_a_refusal_of_the_only_sending_is_definite_and_told_at_once(
    path: Path, refusal: ClusterLiteError
) -> None:
    answer, sent = submit(path, [refusal], 5.0)
    assert type(answer) is type(refusal)
    assert sent == [b"event"]
