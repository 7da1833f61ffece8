"""What stands in the log's options is shown nowhere: no command line, no output, no answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.processes import Serve, wait_until

SECRET = "hunter2"


def test_a_password_of_the_log_is_on_no_command_line_and_in_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"kafka://127.0.0.1:1/events?sasl.username=u&sasl.password={SECRET}"
    monkeypatch.setenv("CLUSTERLITE_LOG", url)
    node = Serve(tmp_path / "node")
    node.start(ready=False)
    try:
        wait_until(lambda: node.request("GET", "/-/cluster").status == 200, node.said)
        shown = subprocess.run(
            ["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True
        )
        assert str(node.data) in shown.stdout
        assert SECRET not in shown.stdout
        answers = [node.request("GET", path) for path in ("/-/cluster", "/-/health/ready", "/")]
        assert all(SECRET.encode() not in answer.body for answer in answers)
    finally:
        node.stop()
    assert SECRET not in node.said()


@pytest.mark.parametrize(
    "url",
    [
        f"kafka://127.0.0.1:1?sasl.password={SECRET}",
        f"kafka://u:{SECRET}@127.0.0.1:1/a/b",
        f"kafka://u:{SECRET}@127.0.0.1:1/events",
        f"kafka://127.0.0.1:1/events?acks=1&sasl.password={SECRET}",
        f"kafak://127.0.0.1:1/events?sasl.password={SECRET}",
    ],
)
def test_a_log_that_is_refused_is_named_without_its_secrets(tmp_path: Path, url: str) -> None:
    node = Serve(tmp_path / "node", log=url)
    node.start(ready=False)
    assert node.process is not None
    assert node.process.wait(30) == 2
    assert "clusterlite: " in node.said()
    assert SECRET not in node.said()
