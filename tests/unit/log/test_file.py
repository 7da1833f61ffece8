"""The embedded log: lost records, a full disk, a failed commit, strangers in its folders."""

from __future__ import annotations

import errno
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from clusterlite.errors import AppendUnknown, ConfigError, Halt, LogUnavailable
from clusterlite.log.doorbell import Ringer, SocketBell, bell_folder
from clusterlite.log.file import FileLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FileLog]:
    opened = FileLog(tmp_path / "log")
    opened.open()
    yield opened
    opened.close()


def append(log: FileLog, *values: bytes) -> list[int]:
    return [future.result(5) for future in log.append(values)]


class Failing:
    """A connection on which COMMIT fails with an error; everything else is the real one's."""

    def __init__(self, real: apsw.Connection, error: type[apsw.Error]) -> None:
        self._real = real
        self._error = error

    def execute(self, sql: str, bindings: Any = None) -> Any:
        if sql == "COMMIT":
            raise self._error("injected")
        return self._real.execute(sql, bindings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize(("lost", "position"), [((1, 2), 0), ((1, 2), 1), ((0,), 0), ((3,), 3)])
def test_a_record_that_is_gone_halts(log: FileLog, lost: tuple[int, ...], position: int) -> None:
    append(log, b"0", b"1", b"2", b"3")
    stranger = apsw.Connection(str(log.path))
    for number in lost:
        stranger.execute("DELETE FROM record WHERE position = ?", (number,))
    stranger.close()
    with pytest.raises(Halt) as halt:
        log.read(position, 10, 0)
    assert halt.value.reason == "log_corrupt"


@pytest.mark.parametrize("error", [apsw.FullError, apsw.BusyError])
def test_a_commit_on_a_full_disk_is_unknown_and_the_next_one_works(
    log: FileLog, error: type[apsw.Error]
) -> None:
    append(log, b"0")
    real = log._writer
    assert real is not None
    log._writer = Failing(real, error)  # type: ignore[assignment]
    (future,) = log.append([b"1"])
    assert isinstance(future.exception(5), AppendUnknown)
    log._writer = real
    assert append(log, b"2") == [1]
    assert [record.value for record in log.read(0, 10, 0).records] == [b"0", b"2"]


def test_any_other_failed_commit_is_unknown_and_ends_all_acknowledgement(log: FileLog) -> None:
    real = log._writer
    assert real is not None
    log._writer = Failing(real, apsw.IOError)  # type: ignore[assignment]
    (future,) = log.append([b"0"])
    assert isinstance(future.exception(5), AppendUnknown)
    log._writer = real
    assert not real.in_transaction, "other processes cannot append"
    (later,) = log.append([b"1"])
    assert isinstance(later.exception(5), LogUnavailable)
    with pytest.raises(Halt) as halt:
        log.read(0, 10, 0)
    assert halt.value.reason == "log_io"


def test_a_ring_harms_no_strangers_file_and_never_fails(tmp_path: Path) -> None:
    folder = bell_folder(tmp_path / "log")
    ringer = Ringer(folder)
    ringer.ring(None)
    bell = SocketBell(folder)
    plain = folder / "notes.txt"
    plain.write_text("mine")
    dead = SocketBell(folder)
    dead._socket.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(folder / "stream"))
        ringer.ring(None)
    assert plain.read_text() == "mine"
    assert not dead.path.exists()
    assert stat.S_ISSOCK(bell.path.stat().st_mode)
    bell.close()
    ringer.close()


def test_a_bell_that_cannot_be_made_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "log.bells").write_text("in the way")
    with pytest.raises(ConfigError, match=r"log\.bells"):
        SocketBell(bell_folder(tmp_path / "log"))


def test_a_log_for_which_no_descriptor_is_left_opens_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    log = FileLog(tmp_path / "log")
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", none_left)
        with pytest.raises(LogUnavailable, match="too many"):
            log.open()
    log.open()
    assert append(log, b"0") == [0]
    log.close()


def test_many_that_make_one_new_log_at_once_all_open_it(tmp_path: Path) -> None:
    """SQLite gives up at once where two connections make one file a WAL file."""
    together = threading.Barrier(4)

    def begin(path: Path) -> int:
        log = FileLog(path)
        together.wait(10)
        try:
            log.open()
            return log.append([b"x"])[0].result()
        finally:
            log.close()

    with ThreadPoolExecutor(4) as threads:
        for number in range(30):
            path = tmp_path / f"log-{number}"
            assert sorted(threads.map(begin, [path] * 4)) == [0, 1, 2, 3]
