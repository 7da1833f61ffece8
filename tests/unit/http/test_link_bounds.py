"""A node that does not answer: what a worker asks of it is bounded, and refused unsent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from clusterlite.errors import OutcomeUnknown, Overloaded
from clusterlite.http import link
from clusterlite.http.link import LinkClient
from clusterlite.node.answers import Answer


class Silence:
    """A transport to a node that is stopped."""

    sent = 0

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def close(self) -> None:
        """Nothing."""


async def asked(*sizes: int) -> tuple[list[Answer], int]:
    """The answers to events of these sizes, and the bytes that were sent; then all are given up."""
    client, transport = LinkClient(Path("no-such-socket"), lambda _: None), Silence()
    client.connection_made(cast("asyncio.WriteTransport", transport))
    answers: list[Answer] = []
    for number, size in enumerate(sizes):
        client.submit(str(number), b"x" * size, 10.0, answers.append)
    await asyncio.sleep(0)
    refused = list(answers)
    await client.close()
    assert sum(isinstance(answer, OutcomeUnknown) for answer in answers) == len(sizes) - len(
        refused
    )
    client.submit("after", b"x" * sizes[0], 10.0, answers.append)
    assert len(answers) == len(sizes), "there is room again"
    return refused, transport.sent


def test_past_the_number_a_write_is_refused_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ASKED_MAX", 2)
    refused, sent = asyncio.run(asked(1_000, 1_000, 1_000))
    assert [type(answer) for answer in refused] == [Overloaded]
    assert 2_000 < sent < 3_000


def test_past_the_bytes_a_write_is_refused_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ASKED_BYTES_MAX", 2_500)
    refused, sent = asyncio.run(asked(1_000, 2_000, 1_000))
    assert [type(answer) for answer in refused] == [Overloaded]
    assert 2_000 < sent < 3_000
