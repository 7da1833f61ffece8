"""A node whose own files fail it: a vanished folder, a doubted replica, a disk that is full."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace

import apsw
import pytest

from clusterlite import Halt, Node
from clusterlite.errors import ConfigError, FolderInUse, LogUnavailable
from clusterlite.log.memory import MemoryLog, MemoryStore
from clusterlite.node import guard
from clusterlite.replica import folder as folder_module
from clusterlite.replica.folder import SOCKET_PATH_BYTES_MAX, DataFolder, socket_path
from tests.cli import cli
from tests.disks import not_writable, public_folder
from tests.nodes import User, names, user
from tests.processes import wait_until

PAGE_BYTES = 4096


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def node(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node whose log stands elsewhere than its folder."""
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.02)
    with Node(tmp_path / "a", MemoryLog(store), [User]) as node:
        node.create(user("ann"))
        yield node


def halted(node: Node) -> dict[str, str]:
    """The reason, once the node has stopped."""
    wait_until(lambda: node.status()["state"] == "halted", lambda: str(node.status()))
    reason: dict[str, str] = node.status()["reason"]
    return reason


# A folder that vanishes.


@pytest.mark.parametrize("file", ["lock", "replica-1.db"])
def test_a_folder_that_vanishes_stops_the_node_and_is_built_anew(
    node: Node, tmp_path: Path, store: MemoryStore, file: str
) -> None:
    assert names(node) == ["ann"]  # whoever reads now goes on reading
    (tmp_path / "a" / file).unlink()
    assert halted(node) == {
        "reason": "folder_gone",
        "detail": f"{tmp_path}/a/{file} is not there any more: No such file or directory",
        "cure": "Start the node again: it builds its replica anew from the log. Where the log "
        "itself stood in that folder, put both back from a copy first",
    }
    with pytest.raises(Halt, match="folder_gone"):
        node.create(user("ben"))
    assert names(node) == ["ann"]
    node.close()
    with Node(tmp_path / "a", MemoryLog(store), [User]) as again:
        assert names(again) == ["ann"]


def test_another_working_folder_is_no_vanished_one(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(Path("a"))
    folder.lock()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder.check_there()
    folder.unlock()


def test_a_halt_is_not_over_once_the_log_fails_and_comes_back(node: Node) -> None:
    engine = node._runtime.engine
    for error in (
        Halt("log_gap", "as if", "as if"),
        LogUnavailable("as if"),
        Halt("log_io", "as if", "as if"),
        None,
    ):
        engine.loop.post(lambda error=error: engine.fail(error))  # type: ignore[misc]
    engine.loop.post(done := _Flag())
    wait_until(lambda: done.called)
    assert halted(node)["reason"] == "log_gap"
    with pytest.raises(Halt, match="log_gap"):
        node.create(user("ben"))


class _Flag:
    """A call that can be waited for."""

    called = False

    def __call__(self) -> None:
        self.called = True


def test_a_node_that_waits_for_room_sleeps_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BOUNDS_EVERY_S", 0.1)
    full = SimpleNamespace(f_blocks=1, f_bavail=0, f_frsize=1)
    with Node(tmp_path / "a", f"file:{tmp_path / 'log'}", [User]) as node:
        with monkeypatch.context() as patched:
            patched.setattr(os, "statvfs", lambda _: full)
            wait_until(lambda: node.status()["state"] == "log_unreachable")
            assert node.status()["reason"]["cure"] == "Make room there; the node goes on by itself"
            ticks: list[float] = []
            node._runtime.engine.after_tick.append(lambda: ticks.append(time.monotonic()))
            wait_until(lambda: len(ticks) >= 20)
            assert ticks[19] - ticks[0] > 0.5, "it spins"
        wait_until(lambda: node.status()["state"] == "ready")
        node.create(user("ann"))


# A replica in doubt.


def closed(folder: Path, url: str) -> Path:
    """A node's folder with some rows in it, closed; its replica's file."""
    with Node(folder, url, [User]) as node:
        for number in range(50):
            node.create(user(f"u{number:02}"))
    return DataFolder(folder).replica


def doubt(folder: Path, url: str, reason: str) -> None:
    """Let a node halt as if its replica's file had failed it."""
    node = Node(folder, url, [User])
    node.open()
    engine = node._runtime.engine
    engine.loop.post(lambda: engine.fail(Halt(reason, "as if", "as if")))
    halted(node)
    node.close()


def damage(replica: Path) -> None:
    """Break the index of emails: neither a start nor a list by id reads it."""
    connection = apsw.Connection(str(replica))
    page = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND sql LIKE '%email%'"
    ).get
    connection.close()
    with replica.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


@pytest.mark.parametrize("reason", ["replica_io", "replica_corrupt"])
def test_a_replica_in_doubt_is_checked_by_the_next_start_before_it_serves(
    tmp_path: Path, reason: str
) -> None:
    url = f"file:{tmp_path / 'log'}"
    replica = closed(tmp_path / "a", url)
    doubt(tmp_path / "a", url, reason)
    damage(replica)
    for _ in range(2):
        with pytest.raises(Halt) as halt:
            Node(tmp_path / "a", url, [User]).open()
        assert halt.value.reason == "replica_corrupt"
        assert f"the replica {replica} cannot be read: " in halt.value.detail
        assert halt.value.cure == (
            f"Stop the node, say `clusterlite repair {tmp_path / 'a'}`, with --log as it was "
            "started, and start it again: it is rebuilt from the log"
        )
    assert cli("repair", tmp_path / "a", "--log", url, "--yes").code == 0
    with Node(tmp_path / "a", url, [User]) as node:
        assert len(names(node)) == 50
    assert not DataFolder(tmp_path / "a").doubted


def test_a_sound_replica_is_doubted_once(tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'log'}"
    closed(tmp_path / "a", url)
    doubt(tmp_path / "a", url, "replica_io")
    assert DataFolder(tmp_path / "a").doubted
    with Node(tmp_path / "a", url, [User]) as node:
        assert len(names(node)) == 50
        assert not DataFolder(tmp_path / "a").doubted


def test_a_halt_that_speaks_of_the_log_casts_no_doubt_on_the_replica(tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'log'}"
    closed(tmp_path / "a", url)
    doubt(tmp_path / "a", url, "log_gap")
    assert not DataFolder(tmp_path / "a").doubted


# What cannot be written.


def test_a_folder_that_this_user_may_not_write_is_refused() -> None:
    with public_folder() as folder:
        with not_writable(folder), pytest.raises(ConfigError) as refused:
            DataFolder(folder).lock()
        assert str(refused.value) == (
            f"the data folder {folder} cannot be used: Permission denied; choose one that this "
            "user may write, on a disk with room"
        )


def test_a_replica_that_this_user_may_not_write_is_named() -> None:
    with public_folder() as folder:
        data = folder / "data"
        replica = closed(data, "memory:")
        (data / "lock").chmod(0o666)
        data.chmod(0o777)
        with not_writable(replica), pytest.raises(Halt) as halt:
            Node(data, MemoryLog(), [User]).open()
        assert halt.value.reason == "replica_io"
        assert f"the replica {replica} cannot be opened: the user " in halt.value.detail
        assert " may not write it" in halt.value.detail
        assert halt.value.cure.startswith("Give that user the right to")


def test_a_disk_too_full_for_the_locks_line_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(folder_module.os, "getpid", full)
        with pytest.raises(ConfigError, match=r"No space left on device; .* a disk with room"):
            DataFolder(tmp_path / "a").lock()
    folder = DataFolder(tmp_path / "a")
    folder.lock(wait_s=0)
    folder.unlock()


# A folder whose name is too long for a socket.


def test_a_short_path_stands_for_a_long_one_where_this_user_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * SOCKET_PATH_BYTES_MAX) / "node.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert socket_path(long).parent == tmp_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "of a session that is over"))
    assert socket_path(long).parent == Path(gettempdir())
    assert socket_path(Path("/srv/node.sock")) == Path("/srv/node.sock")


# A folder that somebody has.


def test_a_held_folder_is_told_from_a_copy_of_one(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "a")
    assert not first.is_held
    first.lock()
    copy = DataFolder(tmp_path / "b")
    copy.path.mkdir()
    (copy.path / "lock").write_text((first.path / "lock").read_text())
    assert (first.is_held, copy.is_held) == (True, False)
    with pytest.raises(FolderInUse, match=rf"{first.path} .*\(process {os.getpid()}\)"):
        DataFolder(first.path).lock(wait_s=0)
    copy.lock(wait_s=0)
    first.unlock()
    copy.unlock()
    assert not first.is_held
