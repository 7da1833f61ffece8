"""The image's node without an image: told by its environment alone, and its health check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.testing.cluster.kafka import free_ports
from tests.processes import Answer, request, wait_until

HEALTHCHECK = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"


class Container:
    """`clusterlite serve` as an image's entry point: told by its environment alone."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self._output = folder / "output"
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "CLUSTERLITE_HOST": "127.0.0.1",
            "CLUSTERLITE_PORT": str(self.port),
            "CLUSTERLITE_DATA": str(folder / "data"),
            "CLUSTERLITE_ALLOW_ORIGIN": "",
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clusterlite", "serve"],
                cwd=folder, env=self.environment, stdout=output, stderr=output,
            )  # fmt: skip

    def request(self, method: str, path: str, body: object = None) -> Answer:
        return request(self.port, method, path, body)

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the image's health check."""
        return subprocess.run(
            [sys.executable, "-I", HEALTHCHECK],
            env=self.environment, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    def said(self) -> str:
        return self._output.read_text()


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    yield container
    if container.process.poll() is None:
        container.process.terminate()
    container.process.wait(30)


def test_the_health_check_follows_the_node_from_start_to_end(container: Container) -> None:
    wait_until(lambda: container.check().returncode == 0, container.said)
    found = container.check()
    assert '"status":"ready"' in found.stdout
    assert found.stderr == ""
    row = {"name": "Ann", "email": "ann@example.com"}
    assert container.request("POST", "/users", row).status == 201
    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(30) == 0, container.said()
    found = container.check()
    assert found.returncode == 1
    assert found.stdout.startswith(f"the node does not answer on port {container.port}: ")
    assert found.stderr == ""
