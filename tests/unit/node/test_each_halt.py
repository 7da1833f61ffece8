"""Each reason to halt, made on a node that serves HTTP, and cured as its page says (I10).

While it is halted nothing is acknowledged, it is not ready, it says why and what to do in its log
output, in `/-/cluster` and in `clusterlite status`, and nothing is skipped or deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterlite.node import guard
from tests.cli import cli
from tests.halting import CASES
from tests.http_node import check_problem
from tests.spot import Spot, check_told, wait_state


@pytest.fixture
def spot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spot]:
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.02)
    spot = Spot(tmp_path, monkeypatch)
    yield spot
    spot.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("reason", "case"), CASES.values(), ids=CASES)
def test_it_is_told_everywhere_keeps_all_and_its_cure_cures(
    reason: str, case: Any, spot: Spot, caplog: pytest.LogCaptureFixture
) -> None:
    phases = case(spot)
    with caplog.at_level(logging.INFO, "clusterlite"):
        next(phases)
        told = wait_state(spot, "halted")
    assert told["reason"]["reason"] == reason
    assert told["reason"]["cure"]
    check_told(spot, told["reason"], caplog.messages)
    before, there, rows = told["position"], set(spot.folder.rglob("*.db")), spot.ids()
    log = spot.log.read_bytes() if spot.log.exists() else b""
    refused = spot.served.request("POST", "/users", {"id": "no", "name": "no", "email": "no"})
    assert told["reason"]["cure"] in check_problem(refused, 503, reason)["detail"]
    assert (spot.log.read_bytes() if spot.log.exists() else b"") == log
    assert (spot.status()["position"], spot.ids()) == (before, rows), "something was applied"
    assert there <= set(spot.folder.rglob("*.db")), "something was deleted"

    next(phases, None)
    wait_state(spot, "ready")
    assert spot.ids() == sorted(spot.written)
    assert cli("status", spot.url).code == 0
    assert spot.served.request("GET", "/-/health/ready").status == 200
