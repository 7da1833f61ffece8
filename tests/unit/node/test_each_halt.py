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
from tests.halting import CASES, Spot
from tests.http_node import check_problem
from tests.processes import wait_until


@pytest.fixture
def spot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spot]:
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.02)
    spot = Spot(tmp_path, monkeypatch)
    yield spot
    spot.close()


def cluster(spot: Spot) -> dict[str, Any]:
    found: dict[str, Any] = spot.served.request("GET", "/-/cluster").json
    return found


def wait_state(spot: Spot, state: str) -> dict[str, Any]:
    """Wait for it; what the node says then."""
    wait_until(lambda: cluster(spot)["state"] == state, lambda: str(cluster(spot)))
    return cluster(spot)


def ids(spot: Spot) -> list[str]:
    answer = spot.served.request("GET", "/users")
    assert answer.status == 200, answer
    return sorted(row["id"] for row in answer.json)


def shown(reason: dict[str, str]) -> str:
    """How `clusterlite status` tells a reason."""
    return f"{reason['reason']}: {reason['detail']}\n  {reason['cure']}"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("reason", "case"), CASES.values(), ids=CASES)
def test_it_acknowledges_nothing_says_why_deletes_nothing_and_its_cure_cures(
    reason: str, case: Any, spot: Spot, caplog: pytest.LogCaptureFixture
) -> None:
    phases = case(spot)
    with caplog.at_level(logging.INFO, "clusterlite"):
        next(phases)
        told = wait_state(spot, "halted")
    assert told["reason"]["reason"] == reason
    assert told["reason"]["cure"]
    check_told(spot, told["reason"], caplog.messages)
    before, there, rows = told["position"], set(spot.folder.rglob("*.db")), ids(spot)
    log = spot.log.read_bytes() if spot.log.exists() else b""
    refused = spot.served.request("POST", "/users", {"id": "no", "name": "no", "email": "no"})
    assert told["reason"]["cure"] in check_problem(refused, 503, reason)["detail"]
    assert (spot.log.read_bytes() if spot.log.exists() else b"") == log
    assert (cluster(spot)["position"], ids(spot)) == (before, rows), "something was applied"
    assert there <= set(spot.folder.rglob("*.db")), "something was deleted"

    next(phases, None)
    wait_state(spot, "ready")
    assert ids(spot) == sorted(spot.written)
    assert cli("status", spot.url).code == 0
    assert spot.served.request("GET", "/-/health/ready").status == 200


def check_told(spot: Spot, reason: dict[str, str], messages: list[str]) -> None:
    """The reason and its cure, in each of the places where an operator looks."""
    ready = spot.served.request("GET", "/-/health/ready")
    assert (ready.status, ready.json["reason"]) == (503, reason)
    done = cli("status", spot.url)
    assert done.code == 1
    assert shown(reason) in done.out
    lines = [message for message in messages if reason["cure"] in message]
    assert lines, messages
    assert any(reason["reason"] in line and reason["detail"] in line for line in lines)
