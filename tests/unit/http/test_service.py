"""What routes share: the position that a new event names."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterlite.core.registry import EntityRegistry
from clusterlite.http import service as module
from clusterlite.http.cors import Cors
from clusterlite.http.service import SEEN_S, Service


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
