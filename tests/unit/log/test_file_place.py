"""The embedded log's file as the file system has it: gone, read-only, on a full disk, locked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from clusterlite.errors import ConfigError, Halt, LogUnavailable
from clusterlite.log import file
from clusterlite.log.file import FileLog
from clusterlite.log.place import ROOM_BYTES_MIN
from tests.disks import not_writable, public_folder

BLOCK_BYTES = 4096


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FileLog]:
    log = FileLog(tmp_path / "log")
    log.open()
    yield log
    log.close()


def append(log: FileLog, value: bytes = b"value") -> BaseException | None:
    return log.append([value])[0].exception(5)


def count(path: Path) -> int:
    """What another process finds in the log."""
    other = FileLog(path)
    other.open()
    try:
        return other.bounds().end
    finally:
        other.close()


# Gone.


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (deleted, "No such file or directory"),
        (moved, "No such file or directory"),
        (replaced, "another file took its place"),
    ],
)
def test_nothing_is_acknowledged_in_a_file_that_is_not_there_any_more(
    log: FileLog, harm: Any, found: str
) -> None:
    assert append(log) is None
    harm(log.path)
    error = append(log)
    assert isinstance(error, LogUnavailable)
    detail = f"the log {log.path} is not there any more: {found}"
    assert error.detail == detail
    for ask in (lambda: log.read(1, 10, 0), log.bounds):
        with pytest.raises(Halt) as halt:
            ask()
        assert (halt.value.reason, halt.value.detail) == ("log_gone", detail)
        assert "without it the node begins an empty log" in halt.value.cure
    assert isinstance(log.tail().exception(5), Halt)


def test_who_only_asks_learns_too_that_the_file_is_gone(log: FileLog) -> None:
    log.path.unlink()
    with pytest.raises(Halt, match="log_gone"):
        log.bounds()


def test_another_working_folder_is_no_other_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = FileLog(Path("log"))
    log.open()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert append(log) is None
    assert log.bounds().end == 1
    log.close()


# Not writable.


def unopened(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        FileLog(path).open()
    return str(refused.value)


CURE = "; a node writes to its log: give it the right to, or name another with --log"


def test_a_file_that_this_user_may_not_write_is_told_as_that_and_not_as_damage() -> None:
    with public_folder() as folder:
        log = FileLog(folder / "log")
        log.open()
        append(log)
        log.close()
        with not_writable(folder, log.path):
            said = unopened(log.path)
            user = os.geteuid()
        assert said == (
            f"the log {log.path} cannot be written: the user {user} may not write {log.path}{CURE}"
        )
        assert count(log.path) == 1


def test_a_folder_that_this_user_may_not_write_is_named() -> None:
    with public_folder() as folder:
        with not_writable(folder):
            said = unopened(folder / "log")
            below = unopened(folder / "new" / "log")
            user = os.geteuid()
        assert said == (
            f"the log {folder}/log cannot be written: the user {user} may not write {folder}{CURE}"
        )
        assert below == (
            f"the log's folder {folder}/new cannot be made: Permission denied; name another with "
            "--log"
        )


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    assert unopened(tmp_path) == f"the log {tmp_path} cannot be written: it is a folder{CURE}"


# A full disk.


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the disk is said to have free, in bytes."""
    free = {"bytes": 0, "blocks": 1}

    def statvfs(_: Any) -> SimpleNamespace:
        blocks = free["bytes"] // BLOCK_BYTES
        return SimpleNamespace(f_blocks=free["blocks"], f_bavail=blocks, f_frsize=BLOCK_BYTES)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return free


def test_a_full_disk_refuses_before_anything_is_written_and_passes(
    log: FileLog, free: dict[str, int]
) -> None:
    free["bytes"] = ROOM_BYTES_MIN - BLOCK_BYTES
    error = append(log)
    assert isinstance(error, LogUnavailable)
    assert str(error) == (
        f"the disk of the log {log.path} is full (1020 KiB free). Make room there; the node goes "
        "on by itself"
    )
    with pytest.raises(LogUnavailable, match="is full"):
        log.bounds()
    assert log.read(0, 10, 0).records == []
    free["bytes"] = ROOM_BYTES_MIN + BLOCK_BYTES
    assert append(log) is None
    assert isinstance(append(log, b"x" * BLOCK_BYTES), LogUnavailable), "it needs twice its size"
    assert log.bounds().end == 1


def test_a_file_system_that_does_not_tell_its_size_is_not_called_full(
    log: FileLog, free: dict[str, int]
) -> None:
    free["blocks"] = 0
    assert append(log) is None


# A lock.


@pytest.fixture
def stranger(log: FileLog) -> Iterator[apsw.Connection]:
    """Another program that writes to the file."""
    stranger = apsw.Connection(str(log.path))
    yield stranger
    stranger.close()


def test_a_lock_is_waited_for_once_and_then_told_until_it_is_gone(
    log: FileLog, stranger: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT_MS", 400)
    stranger.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    first = append(log)
    waited_s = time.monotonic() - began
    assert waited_s >= 0.4
    for error in (first, append(log)):
        assert isinstance(error, LogUnavailable)
        assert f"process {os.getpid()} holds the write lock of the log {log.path}" in error.detail
        assert error.cure == "End it, or let it finish; the node goes on by itself"
    tries = 10
    began = time.monotonic()
    for _ in range(tries):
        append(log)
    assert time.monotonic() - began < tries * waited_s / 2, "each append waits as the first"
    with pytest.raises(LogUnavailable, match="holds the write lock"):
        log.bounds()
    assert log.read(0, 10, 0).records == [], "reads wait for a lock that does not concern them"
    stranger.execute("ROLLBACK")
    assert log.bounds().end == 0
    assert append(log) is None


def test_a_short_lock_is_waited_for(log: FileLog, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0
    holder = apsw.Connection(str(log.path))
    holder.execute("BEGIN IMMEDIATE")

    def lets_go(seconds: float) -> None:
        nonlocal waits
        waits += 1
        assert seconds < 0.01
        if waits == 3:
            holder.execute("ROLLBACK")

    monkeypatch.setattr(file.time, "sleep", lets_go)
    assert append(log) is None
    assert waits == 3
    holder.close()


def test_who_opens_an_old_log_waits_for_no_lock(log: FileLog, stranger: apsw.Connection) -> None:
    append(log)
    stranger.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    other = FileLog(log.path)
    other.open()
    assert [record.value for record in other.read(0, 10, 0).records] == [b"value"]
    assert time.monotonic() - began < file.BUSY_TIMEOUT_MS / 1000
    other.close()
