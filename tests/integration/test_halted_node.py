"""A node that halts says why, acknowledges nothing, and goes on reading (I10)."""

from __future__ import annotations

from pathlib import Path

from tests.http_node import check_problem
from tests.processes import Serve, wait_until


def test_a_node_on_the_wrong_log_reads_on_and_writes_nothing(tmp_path: Path) -> None:
    with Serve(tmp_path / "other"):
        pass
    with Serve(tmp_path / "node") as node:
        created = node.request("POST", "/users", {"name": "Ann", "email": "x"})
    wrong = Serve(tmp_path / "node", log=f"file:{tmp_path / 'other' / 'log'}")
    wrong.start(ready=False)
    try:
        wait_until(lambda: state(wrong) == "halted", wrong.said)
        assert wrong.request("GET", created.headers["location"]).json == created.json
        refused = wrong.request("POST", "/users", {"name": "Ben", "email": "x"})
        check_problem(refused, 503, "wrong_log")
        ready = wrong.request("GET", "/-/health/ready")
        assert (ready.status, ready.json["reason"]["reason"]) == (503, "wrong_log")
        assert "empty data folder" in ready.json["reason"]["cure"]
        wrong.wait_said("wrong_log")
        assert len(wrong.request("GET", "/users").json) == 1
    finally:
        wrong.stop()


def state(node: Serve) -> str:
    answer = node.request("GET", "/-/cluster")
    return str(answer.json["state"]) if answer.status == 200 else ""
