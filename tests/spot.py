"""One node that serves HTTP here, on an embedded log and a disk that a test may break."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clusterlite import Entity, TableOperations
from clusterlite.log.file import FileLog
from tests.app_node import AppNode
from tests.cli import cli
from tests.faulty import FaultySystem
from tests.nodes import User, insert, put
from tests.processes import wait_until

Entities = Sequence[type[Entity] | TableOperations]


class Spot:
    """A node on an embedded log that stands beside its folder.

    Args:
        folder: of both.
        patch: for what no test can do to a machine.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = patch
        self.data = folder / "node"
        self.log = folder / "log"
        self.disk = FaultySystem(every=True)
        self.served = self._start()
        self.written = ["ann"]
        self.create("ann")

    def _start(
        self,
        *,
        cluster: str = "",
        entities: Entities = (User,),
        ready: bool = True,
    ) -> AppNode:
        served = AppNode(self.data, FileLog(self.log), entities, cluster, ready=ready)
        served.__enter__()
        self.url = served.listen()
        return served

    def start(
        self,
        *,
        cluster: str = "",
        entities: Entities = (User,),
        ready: bool = True,
    ) -> None:
        """Start the node again."""
        self.served.stop()
        self.served = self._start(cluster=cluster, entities=entities, ready=ready)

    def stop(self) -> None:
        """Stop the node."""
        self.served.stop()

    def close(self) -> None:
        """Stop the node, and give the disk back."""
        self.served.stop()
        self.disk.unregister()

    def create(self, name: str) -> int:
        """A create over HTTP; its status."""
        body = {"id": name, "name": name, "email": name}
        return self.served.request("POST", "/users", body).status

    def status(self) -> dict[str, Any]:
        """What the node says of itself."""
        found: dict[str, Any] = self.served.request("GET", "/-/cluster").json
        return found

    def ids(self) -> list[str]:
        """Of the users that it shows."""
        answer = self.served.request("GET", "/users")
        assert answer.status == 200, answer
        return sorted(row["id"] for row in answer.json)

    def append(self, *records: bytes) -> int:
        """Append beside the node."""
        log = FileLog(self.log)
        log.open()
        try:
            return put(log, *records)
        finally:
            log.close()

    def insert(self, name: str) -> None:
        """A create of another node, which this one will not be told of by its client."""
        self.append(insert(self.served.node, f"e-{name}", name))

    def keep_copy(self) -> None:
        """A copy of the log, as a backup has it: the node is stopped for it."""
        self.stop()
        (self.folder / "copy").mkdir()
        shutil.copy(self.log, self.folder / "copy" / "log")

    def restore_copy(self) -> None:
        """Put the copy in the log's place, as the page says."""
        self.stop()
        (self.folder / "aside").mkdir()
        for file in self.folder.glob("log*"):
            file.rename(self.folder / "aside" / file.name)
        shutil.copy(self.folder / "copy" / "log", self.log)
        assert cli("adopt", "--moved", self.log).code == 0

    def reset(self) -> None:
        """Take the replica away, as the page says."""
        self.stop()
        assert cli("reset", "--data", self.data, "--yes").code == 0

    def repair(self) -> None:
        """Set the replica aside, as the page says."""
        self.stop()
        done = cli("repair", self.data, "--log", f"file:{self.log}", "--yes")
        assert done.code == 0, done


def wait_state(spot: Spot, state: str) -> dict[str, Any]:
    """Wait for it; what the node says then."""
    wait_until(lambda: spot.status()["state"] == state, lambda: str(spot.status()))
    return spot.status()


def check_told(spot: Spot, reason: dict[str, str], messages: Sequence[str]) -> None:
    """Not ready, with the reason and its cure in each of the places where an operator looks.

    Args:
        spot: of the node.
        reason: as `/-/cluster` has it.
        messages: of the log output.
    """
    detail, cure = _steady(reason["detail"]), reason["cure"]
    ready = spot.served.request("GET", "/-/health/ready")
    told = ready.json["reason"]
    assert (ready.status, told["reason"], told["cure"]) == (503, reason["reason"], cure)
    assert _steady(told["detail"]) == detail
    done = cli("status", spot.url)
    assert done.code == 1
    assert f"{reason['reason']}: {detail}\n  {cure}" in _steady(done.out)
    lines = [_steady(message) for message in messages if cure in message]
    assert any(detail in line for line in lines), messages


def _steady(text: str) -> str:
    """Without how long something has lasted."""
    return re.sub(r"\d+\.\d s ", "", text)
