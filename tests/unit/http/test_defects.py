"""A defect in a worker's own tasks is seen in its log, and they go on with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from clusterlite.errors import OutcomeUnknown
from clusterlite.http import link, protocol
from clusterlite.http.link import LinkClient
from clusterlite.http.protocol import Protocol
from clusterlite.node.answers import Answer

DEADLINE_S = 30


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)


def check_logged(caplog: pytest.LogCaptureFixture, task: str, error: str) -> None:
    (entry, *_) = [m for m in caplog.messages if "event='defect'" in m and f"task='{task}'" in m]
    assert error in entry
    assert "Traceback" in entry


class Connection:
    """One that counts how often it is looked after, or cannot be."""

    unsent = 0
    unread_since = 0.0

    def __init__(self, fault: Exception | None = None) -> None:
        self.transport = self
        self.looks = 0
        self.aborted = False
        self._fault = fault

    def expire(self, _: float) -> None:
        self.looks += 1
        if self._fault is not None:
            raise self._fault

    def abort(self) -> None:
        self.aborted = True


def test_a_connection_that_cannot_be_looked_after_is_ended_and_the_others_are_looked_after(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "SWEEP_S", 0.001)
    broken, sound = Connection(RuntimeError("no such state")), Connection()

    async def main() -> None:
        connections = cast("set[Any]", [broken, sound])
        task = asyncio.create_task(protocol.sweep(connections, 1))
        await until(lambda: sound.looks > 2)
        task.cancel()

    asyncio.run(main())
    assert (broken.aborted, sound.aborted) == (True, False)
    check_logged(caplog, "sweep", "no such state")


def test_a_failed_look_at_what_is_unread_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[int] = []

    def cut(*_: object) -> None:
        rounds.append(1)
        raise RuntimeError("no such bound")

    monkeypatch.setattr(protocol, "SWEEP_S", 0.001)
    monkeypatch.setattr(protocol, "cut_unread", cut)

    async def main() -> None:
        task = asyncio.create_task(protocol.sweep(cast("set[Protocol]", set()), 1))
        await until(lambda: len(rounds) > 2)
        task.cancel()

    asyncio.run(main())
    check_logged(caplog, "sweep", "no such bound")


async def listen(path: Path) -> tuple[asyncio.Server, list[asyncio.StreamWriter]]:
    """A node that takes all and says nothing; the connections to it."""
    there: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.append(writer)

    return await asyncio.start_unix_server(serve, path), there


def test_a_link_that_fails_to_connect_by_a_defect_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        server, there = await listen(tmp_path / "s")
        loop, faults = asyncio.get_running_loop(), [RuntimeError("no such socket kind")]
        connect = loop.create_unix_connection

        async def faulty(*arguments: Any) -> Any:
            if faults:
                raise faults.pop()
            return await connect(*arguments)

        monkeypatch.setattr(loop, "create_unix_connection", faulty)
        client = LinkClient(tmp_path / "s", lambda _: None)
        await client.open()
        await until(lambda: client.connected)
        await client.close()
        await until(lambda: there)
        there[0].close()
        server.close()

    asyncio.run(main())
    check_logged(caplog, "connect", "no such socket kind")


def test_a_link_is_made_anew_after_a_frame_that_could_not_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def taken(*_: object) -> None:
        raise RuntimeError("no such table")

    monkeypatch.setattr(LinkClient, "received", taken)

    async def main() -> None:
        server, there = await listen(tmp_path / "s")
        client = LinkClient(tmp_path / "s", lambda _: None)
        await client.open()
        await until(lambda: there)
        there[0].write(b"\0\0\0\1x")
        await until(lambda: len(there) == 2 and client.connected)
        await client.close()
        for writer in there:
            writer.close()
        server.close()

    asyncio.run(main())
    assert any("link_protocol" in m and "no such table" in m for m in caplog.messages)


def test_an_answer_that_its_asker_cannot_take_leaves_the_others_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "GRACE_S", 0.0)
    answers: list[Answer] = []

    def reply(_: Answer) -> None:
        raise RuntimeError("no such asker")

    async def main() -> None:
        server, there = await listen(tmp_path / "s")
        client = LinkClient(tmp_path / "s", lambda _: None)
        await client.open()
        await until(lambda: client.connected)
        client.submit("a", b"x", 0.0, reply)
        client.submit("b", b"x", 0.0, answers.append)
        await until(lambda: answers)
        client.submit("c", b"x", 0.0, answers.append)
        await until(lambda: len(answers) == 2)
        await client.close()
        there[0].close()
        server.close()

    asyncio.run(main())
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 2
    check_logged(caplog, "reply", "no such asker")


def test_a_failed_round_over_what_waits_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[int] = []

    def resend(*_: object) -> None:
        rounds.append(1)
        raise RuntimeError("no such frame")

    monkeypatch.setattr(LinkClient, "_resend", resend)

    async def main() -> None:
        client = LinkClient(tmp_path / "s", lambda _: None)
        await client.open()
        await until(lambda: len(rounds) == 2)
        await client.close()

    asyncio.run(main())
    check_logged(caplog, "sweep", "no such frame")
