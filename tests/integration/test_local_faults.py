"""What goes wrong on one machine, on real processes: full, read-only and vanished folders, a folder
that another node has, a copy of one, a stranger's lock. Each is told with its cause and its cure,
nothing that was acknowledged is lost, and what passes is over by itself.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from clusterlite.replica.folder import SOCKET_PATH_BYTES_MAX
from tests.disks import Balloon, read_only, small_disk
from tests.http_node import ENTITIES, check_problem
from tests.processes import Answer, Serve, wait_until

LARGE = {"name": "x", "email": "x" * 100_000}


def user(key: str) -> dict[str, str]:
    return {"id": key, "name": key, "email": key}


def create(serve: Serve, key: str) -> Answer:
    return serve.request("POST", "/users", user(key))


def ids(serve: Serve) -> list[str]:
    answer = serve.request("GET", "/users")
    assert answer.status == 200, answer
    return [row["id"] for row in answer.json]


def status(serve: Serve) -> dict[str, Any]:
    answer = serve.request("GET", "/-/cluster")
    found: dict[str, Any] = answer.json if answer.status == 200 else {"state": "", "reason": None}
    return found


def wait_state(serve: Serve, state: str) -> dict[str, str]:
    """Wait for a state; its reason, with the cure that each has."""
    wait_until(lambda: status(serve)["state"] == state, lambda: f"{status(serve)}\n{serve.said()}")
    reason: dict[str, str] = status(serve)["reason"]
    assert state == "ready" or reason["cure"]
    return reason


def refusal(serve: Serve) -> str:
    """The one line that a `serve` says which ends by itself, and serves nothing."""
    before = len(serve.said()) if serve.output.exists() else 0
    serve.start(ready=False)
    assert serve.process is not None
    process, serve.process = serve.process, None
    assert process.wait(30) in {2, 3}
    said = serve.said()[before:]
    assert "Traceback" not in said
    assert "acknowledged" not in said, "it never served"
    assert "/-/ui/\n" not in said, "it announced a page that nobody serves"
    (line,) = [line for line in said.splitlines() if line.startswith("clusterlite: ")]
    return line.removeprefix("clusterlite: ")


# A full disk.


def on_disk(disk: Path, log: str = "") -> Serve:
    """A node on a small disk, which says what it says, and has its entities, beside it."""
    beside = disk.parent
    (beside / "shop.py").write_text(ENTITIES)
    serve = Serve(disk / "node", log, ("--entities", "shop"), cwd=beside)
    serve.output = beside / "out"
    return serve


def test_a_full_disk_refuses_writes_at_once_and_passes_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        balloon = Balloon(disk)
        serve = on_disk(disk)
        with serve:
            assert create(serve, "before").status == 201
            balloon.blow_up()
            for row in (user("refused"), LARGE):
                began = time.monotonic()
                problem = check_full(serve.request("POST", "/users", row), disk)
                assert time.monotonic() - began < 5, problem
            assert ids(serve) == ["before"]
            reason = wait_state(serve, "log_unreachable")
            assert f"the disk of the log {disk}/node/log is full" in reason["detail"]
            assert serve.request("GET", "/-/health/ready").status == 503
            assert ids(serve) == ["before"]
            balloon.burst()
            serve.wait_ready()
            assert create(serve, "after").status == 201
            assert ids(serve) == ["after", "before"]
        with serve:
            assert ids(serve) == ["after", "before"]


def check_full(answer: Answer, disk: Path) -> str:
    detail: str = check_problem(answer, 503, "log_unreachable")["detail"]
    assert "the write did not happen" in detail
    assert f"the disk of the log {disk}/node/log is full (" in detail
    assert "Make room there; the node goes on by itself" in detail
    return detail


def test_a_full_disk_under_the_replica_alone_delays_writes_and_loses_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        balloon = Balloon(disk)
        serve = on_disk(disk, log=f"file:{tmp_path / 'log'}")
        with serve:
            assert create(serve, "before").status == 201
            balloon.blow_up()
            late = serve.request("PUT", "/users/late", LARGE, {"Prefer": "wait=1"})
            assert late.status == 202, late
            reason = wait_state(serve, "strained")
            assert "the replica cannot be written: " in reason["detail"]
            assert reason["cure"] == (
                "Make room on the disk of the data folder; it goes on by itself"
            )
            assert ids(serve) == ["before"]
            assert serve.request("GET", "/-/health/ready").status == 503
            balloon.burst()
            serve.wait_ready()
            wait_until(lambda: ids(serve) == ["before", "late"], serve.said)
            assert serve.request("GET", late.headers["location"]).json["status"] == "applied"


def test_a_node_that_starts_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        balloon = Balloon(disk)
        serve = on_disk(disk, log=f"file:{tmp_path / 'log'}")
        with serve:
            create(serve, "before")
        balloon.blow_up()
        said = refusal(serve)
        assert str(disk / "node") in said
        assert "its disk is full. Make room there, then start the node again" in said or (
            "No space left on device; choose one that this user may write, on a disk with room"
            in said
        )
        balloon.burst()
        with serve:
            assert ids(serve) == ["before"]


# A folder that cannot be written, or is there no more.


def test_a_read_only_data_folder_is_refused_with_the_cure(tmp_path: Path) -> None:
    with Serve(tmp_path / "node") as serve:
        create(serve, "ann")
    with read_only(tmp_path / "node", tmp_path / "mounted") as folder:
        serve = Serve(folder)
        assert refusal(serve) == (
            f"the data folder {folder} cannot be used: Read-only file system; choose one that "
            "this user may write, on a disk with room"
        )


def test_a_read_only_log_is_refused_with_the_cure_and_is_not_called_damaged(
    tmp_path: Path,
) -> None:
    (tmp_path / "logs").mkdir()
    with Serve(tmp_path / "node", log=f"file:{tmp_path / 'logs' / 'log'}") as serve:
        create(serve, "ann")
        for held in (True, False):  # a file that a node holds can be read, else not even that
            if not held:
                serve.stop()
            with read_only(tmp_path / "logs", tmp_path / "mounted") as folder:
                other = Serve(tmp_path / "other", log=f"file:{folder / 'log'}")
                assert refusal(other) == (
                    f"the log {folder / 'log'} cannot be written: its file system is read-only; a "
                    "node writes to its log: give it the right to, or name another with --log"
                )
        serve.start()
        assert ids(serve) == ["ann"]


def test_a_data_folder_that_is_deleted_under_a_node_stops_writes_and_no_reads(
    tmp_path: Path,
) -> None:
    with Serve(tmp_path / "node") as serve:
        assert create(serve, "ann").status == 201
        shutil.rmtree(tmp_path / "node")
        assert create(serve, "lost").status == 503
        reason = wait_state(serve, "halted")
        assert reason["reason"] == "log_gone"
        assert reason["detail"] == (
            f"the log {tmp_path}/node/log is not there any more: No such file or directory"
        )
        check_problem(create(serve, "lost"), 503, "log_gone")
        assert ids(serve) == ["ann"]
        wait_until(lambda: '"event": "halted"' in serve.said(), serve.said)
        serve.wait_said(reason["cure"])


# A folder that another node has, or had.


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node that is in the way of others."""
    with Serve(tmp_path_factory.mktemp("first") / "node") as serve:
        assert create(serve, "ann").status == 201
        yield serve


def test_a_folder_in_use_is_refused_and_names_who_uses_it(first: Serve, tmp_path: Path) -> None:
    second = Serve(first.data)
    second.output = tmp_path / "out"
    said = refusal(second)
    (node,) = first.children()["node"]
    assert f"the data folder {first.data} belongs to a running node (process {node})" in said
    assert first.url in said
    assert "a folder of its own" in said
    assert "ann" in ids(first)


def test_a_copied_folder_beside_its_first_is_another_log_and_writes_nothing(
    first: Serve, tmp_path: Path
) -> None:
    shutil.copytree(
        first.data, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock", "*.bells")
    )
    copy = Serve(tmp_path / "copy").start(ready=False)
    try:
        reason = wait_state(copy, "halted")
        assert reason == {
            "reason": "log_moved",
            "detail": f"the log {tmp_path}/copy/log is a copy, or was moved between file systems",
            "cure": "Where the first one lives on, give this node an empty data folder and the "
            "first one's --log. If the first one is gone for good: clusterlite adopt --moved "
            f"{tmp_path}/copy/log",
        }
        ready = copy.request("GET", "/-/health/ready")
        assert (ready.status, ready.json["status"]) == (503, "halted")
        check_problem(create(copy, "ben"), 503, "log_moved")
        assert ids(copy) == ["ann"]
        assert create(first, "cleo").status == 201
    finally:
        copy.stop()


def test_a_strangers_lock_on_the_log_is_named_and_freezes_nothing(first: Serve) -> None:
    stranger = apsw.Connection(str(first.data / "log"))
    try:
        stranger.execute("BEGIN IMMEDIATE")
        detail = check_problem(create(first, "late"), 503, "log_unreachable")["detail"]
        assert f"process {os.getpid()} holds the write lock of the log {first.data}/log" in detail
        assert "End it, or let it finish; the node goes on by itself" in detail
        reason = wait_state(first, "log_unreachable")
        assert f"process {os.getpid()} holds the write lock" in reason["detail"]
        before = status(first)
        began = time.monotonic()
        for _ in range(20):
            assert create(first, "late").status == 503
            assert status(first)["pid"] == before["pid"], "the node process does not answer"
        assert time.monotonic() - began < 20, "each write waits for the lock anew"
        assert "ann" in ids(first)
        stranger.execute("ROLLBACK")
    finally:
        stranger.close()
    first.wait_ready()
    assert create(first, "late").status == 201


def test_a_folder_too_deep_for_a_sockets_name_serves_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    assert len(os.fsencode(deep)) > SOCKET_PATH_BYTES_MAX + 20
    deep.mkdir(parents=True)
    with Serve(deep / "node") as serve:
        assert create(serve, "ann").status == 201
        assert ids(serve) == ["ann"]
        with Serve(deep / "other", log=f"file:{deep / 'node' / 'log'}") as other:
            wait_until(lambda: ids(other) == ["ann"], other.said)
