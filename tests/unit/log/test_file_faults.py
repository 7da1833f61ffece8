"""The embedded log on a disk that fails: real errors of the system call, through real SQLite."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from clusterlite import sqlite_wal
from clusterlite.errors import AppendUnknown, Halt, LogUnavailable
from clusterlite.log import file, file_wal
from clusterlite.log.file import FileLog

PAGE_BYTES = 4096
LARGE = b"x" * 900_000
_PWRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t,
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    use_errno=True,
)


class Disk(apsw.VFS):
    """SQLite's table of system calls, in which a write of some files fails while told so."""

    def __init__(self) -> None:
        super().__init__("failing-disk", "unix")
        real = _PWRITE(("pwrite64", ctypes.CDLL(None, use_errno=True)))
        self.code = 0
        self.ending = ""
        self.failed = 0

        def pwrite(descriptor: int, data: int, count: int, offset: int) -> int:
            if self.code and str(Path(f"/proc/self/fd/{descriptor}").readlink()).endswith(
                self.ending
            ):
                self.failed += 1
                ctypes.set_errno(self.code)
                return -1
            written: int = real(descriptor, data, count, offset)
            return written

        self._call = _PWRITE(pwrite)  # SQLite holds no reference to it
        self._names = [name for name in ("pwrite64", "pwrite") if self._set(name, self._call)]
        assert "pwrite64" in self._names

    def fails(self, ending: str, code: int) -> None:
        """From now on no file whose name ends like that can be written."""
        self.ending, self.code = ending, code

    def works(self) -> None:
        self.code = 0

    def close(self) -> None:
        for name in self._names:
            self.xSetSystemCall(name, 0)  # the real one
        self.unregister()

    def _set(self, name: str, call: object) -> bool:
        return self.xSetSystemCall(name, ctypes.cast(call, ctypes.c_void_p).value)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.close()


@pytest.fixture
def log(tmp_path: Path, disk: Disk) -> Iterator[FileLog]:
    opened = FileLog(tmp_path / "log")
    opened.open()
    yield opened
    disk.works()
    opened.close()


def append(log: FileLog, value: bytes) -> BaseException | None:
    return log.append([value])[0].exception(5)


def values(path: Path) -> list[bytes]:
    """What another process finds in the log."""
    reader = FileLog(path)
    reader.open()
    try:
        return [record.value for record in reader.read(0, 1000, 0).records]
    finally:
        reader.close()


@pytest.mark.parametrize("value", [b"small", LARGE])
def test_a_full_disk_passes_and_what_it_refused_is_not_there(
    log: FileLog, disk: Disk, value: bytes
) -> None:
    assert append(log, b"before") is None
    disk.fails("-wal", errno.ENOSPC)
    assert isinstance(append(log, value), AppendUnknown)
    assert disk.failed
    assert [record.value for record in log.read(0, 10, 0).records] == [b"before"]
    disk.works()
    assert append(log, b"after") is None
    assert values(log.path) == [b"before", b"after"]


@pytest.mark.parametrize("value", [b"small", LARGE])
def test_a_failed_write_halts_and_is_not_tried_again(
    log: FileLog, disk: Disk, value: bytes
) -> None:
    assert append(log, b"before") is None
    disk.fails("-wal", errno.EIO)
    assert isinstance(append(log, value), AppendUnknown)
    disk.works()
    _is_over(log, "log_io")
    mark = log.path.with_name("log.doubt")
    assert mark.exists(), "the next one will not check the file"
    assert append_elsewhere(log.path, b"by another") is None
    assert not mark.exists()
    assert values(log.path) == [b"before", b"by another"]


def append_elsewhere(path: Path, value: bytes) -> BaseException | None:
    other = FileLog(path)
    other.open()
    try:
        return append(other, value)
    finally:
        other.close()


def test_a_failed_write_before_the_commit_is_definite_and_halts(log: FileLog, disk: Disk) -> None:
    assert log._writer is not None
    log._writer.pragma("cache_size", 10)  # in pages: the record leaves memory before COMMIT
    disk.fails("-wal", errno.EIO)
    assert isinstance(append(log, LARGE), LogUnavailable)
    disk.works()
    _is_over(log, "log_io")
    assert values(log.path) == []


def test_a_full_disk_before_the_commit_is_definite_and_passes(log: FileLog, disk: Disk) -> None:
    assert log._writer is not None
    log._writer.pragma("cache_size", 10)
    disk.fails("-wal", errno.ENOSPC)
    assert isinstance(append(log, LARGE), LogUnavailable)
    disk.works()
    assert append(log, b"after") is None
    assert values(log.path) == [b"after"]


def test_a_failed_checkpoint_halts_and_loses_nothing(log: FileLog, disk: Disk) -> None:
    disk.fails("log", errno.EIO)
    answers = [
        append(log, LARGE) for _ in range(2 * file_wal.CHECKPOINT_PAGES * PAGE_BYTES // 900_000)
    ]
    acknowledged = answers.index(next(error for error in answers if error is not None))
    assert isinstance(answers[acknowledged], AppendUnknown)
    assert disk.failed
    assert all(isinstance(error, LogUnavailable) for error in answers[acknowledged + 1 :])
    disk.works()
    _is_over(log, "log_io")
    assert values(log.path)[:acknowledged] == [LARGE] * acknowledged


def test_a_full_disk_at_a_checkpoint_stops_nothing(log: FileLog, disk: Disk) -> None:
    disk.fails("log", errno.ENOSPC)
    count = 2 * file_wal.CHECKPOINT_PAGES * PAGE_BYTES // 900_000
    assert [append(log, LARGE) for _ in range(count)] == [None] * count
    assert disk.failed
    disk.works()
    assert append(log, b"after") is None
    assert values(log.path) == [LARGE] * count + [b"after"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_while_the_wal_is_cut_is_no_append(
    log: FileLog, disk: Disk, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    assert append(log, b"kept") is None
    monkeypatch.setattr(sqlite_wal, "HELD_BYTES_MAX", 0)
    disk.fails("log", code)
    assert isinstance(append(log, b"refused"), LogUnavailable)
    assert disk.failed
    disk.works()
    if code == errno.EIO:
        _is_over(log, "log_io")
        assert values(log.path) == [b"kept"]
    else:
        assert append(log, b"after") is None
        assert values(log.path) == [b"kept", b"after"]


def test_a_busy_file_is_definite_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT_MS", 10)
    log = FileLog(tmp_path / "log")
    log.open()
    holder = apsw.Connection(str(log.path))
    holder.execute("BEGIN IMMEDIATE")
    assert isinstance(append(log, b"refused"), LogUnavailable)
    holder.execute("ROLLBACK")
    holder.close()
    assert append(log, b"taken") is None
    log.close()
    assert values(log.path) == [b"taken"]


def test_a_trim_on_a_failing_disk_halts(log: FileLog, disk: Disk) -> None:
    assert append(log, b"kept") is None
    disk.fails("-wal", errno.EIO)
    with pytest.raises(LogUnavailable):
        log.trim(1)
    disk.works()
    _is_over(log, "log_io")
    assert values(log.path) == [b"kept"]


def test_damage_halts_readers_and_appenders(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log")
    log.open()
    assert append(log, b"0") is None
    assert log._writer is not None
    root = log._writer.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'record'").get
    log.close()
    with log.path.open("r+b") as damaged:
        damaged.seek((root - 1) * PAGE_BYTES)
        damaged.write(b"\xff" * PAGE_BYTES)
    for meets_it in (_read_halts, _append_fails):
        log.path.with_name("log.doubt").unlink(missing_ok=True)
        again = FileLog(log.path)
        again.open()
        meets_it(again)
        _is_over(again, "log_corrupt")
        again.close()
    for _ in range(2):
        with pytest.raises(Halt, match=r"cannot be read: .* page") as halt:
            FileLog(log.path).open()
        assert halt.value.reason == "log_corrupt"


def _append_fails(log: FileLog) -> None:
    assert isinstance(append(log, b"1"), LogUnavailable)


def _read_halts(log: FileLog) -> None:
    with pytest.raises(Halt):
        log.read(0, 10, 0)


def _is_over(log: FileLog, reason: str) -> None:
    """Nothing is acknowledged any more, and whoever reads is told why."""
    assert isinstance(append(log, b"never"), LogUnavailable)
    with pytest.raises(Halt) as halt:
        log.read(0, 10, 0)
    assert halt.value.reason == reason
