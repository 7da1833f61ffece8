"""What routes share: the position that a new event names, and a start that waits for the node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clusterlite import Node
from clusterlite.core.registry import EntityRegistry
from clusterlite.http import service as module
from clusterlite.http.cors import Cors
from clusterlite.http.service import SEEN_S, Service
from clusterlite.replica.folder import DataFolder
from tests.support import User


class FakeReader:
    def __init__(self) -> None:
        self.at = 10
        self.asked = 0

    def position(self) -> int:
        self.asked += 1
        return self.at


def test_an_event_of_a_worker_that_wrote_nothing_for_long_names_a_recent_position(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    service = Service(EntityRegistry(), tmp_path / "node.sock", Cors("127.0.0.1"))
    reader = FakeReader()
    service._reader = reader  # type: ignore[assignment]
    service.saw(3)
    assert service.after() == 10
    reader.at = 2_000_000
    assert service.after() == 10
    assert reader.asked == 1
    now[0] += SEEN_S + 0.1
    assert service.after() == 2_000_000


def test_a_start_waits_for_the_node_to_serve_but_not_for_ever(tmp_path: Path) -> None:
    registry = EntityRegistry()
    registry.register(User)

    async def serving_when_started(wait_s: float, node: Node | None) -> bool:
        service = Service(registry, DataFolder(tmp_path / "data").socket, Cors("127.0.0.1"))
        starting = asyncio.create_task(service.open(wait_s))
        await asyncio.sleep(0)
        if node is not None:
            await asyncio.to_thread(node.open, link=True)
        await starting
        found = service.serving
        await service.link.close()
        service.close()
        return found

    assert not asyncio.run(serving_when_started(0.05, None))
    node = Node(tmp_path / "data", f"file:{tmp_path / 'log'}", [User])
    try:
        assert asyncio.run(serving_when_started(20, node))
    finally:
        node.close()


def test_a_start_that_waits_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    async def waits() -> None:
        service = Service(EntityRegistry(), tmp_path / "node.sock", Cors("127.0.0.1"))
        starting = asyncio.create_task(service.open(600))
        await asyncio.sleep(0)
        service.stop_waiting()
        await asyncio.wait_for(starting, 10)
        await service.link.close()

    asyncio.run(waits())
