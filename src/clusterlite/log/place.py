"""The file of an embedded log as the file system has it: there, writable, with room, in doubt.

SQLite itself says little of these: it goes on writing to a file that was deleted, and tells a
read-only folder and a full disk apart only after the fact.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from clusterlite.errors import ConfigError, Halt, LogUnavailable

ROOM_BYTES_MIN: Final = 1024 * 1024
"""What must be free beside the records themselves: pages and index of the WAL, and its folder."""

_WRITE_LOCK: Final = "120"
"""The byte of the `-shm` file that SQLite locks to write (its WAL file format, section 2.3.1)."""

_READ_LOCKS: Final = frozenset(map(str, range(123, 128)))
"""Those of which one is held with a snapshot."""


def check_there(path: Path, inode: int) -> None:
    """Whether the file that was opened is still the one that the path names.

    Raises:
        Halt: `log_gone`: what is appended now would be lost with this process.
    """
    try:
        if path.stat().st_ino == inode:
            return
        found = "another file took its place"
    except OSError as error:
        found = error.strerror or str(error)
    raise Halt(
        "log_gone",
        f"the log {path} is not there any more: {found}",
        "Put it back, or restore a copy of it, before the node is started again: without it the "
        "node begins an empty log. Reads go on until then: save what is needed from this node",
    )


def check_room(path: Path, record_bytes: int) -> None:
    """Whether the disk has room for an append, so that none is left undecided by a full disk.

    Raises:
        LogUnavailable: it has not; nothing was written.
    """
    try:
        disk = os.statvfs(path)
    except OSError:
        return  # the append itself tells
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and free < ROOM_BYTES_MIN + 2 * record_bytes:
        raise LogUnavailable(
            f"the disk of the log {path} is full ({free // 1024} KiB free)",
            "Make room there; the node goes on by itself",
        )


def locked(path: Path, held_s: float) -> LogUnavailable:
    """Why nothing can be appended while another process holds the write lock.

    Args:
        path: of the log.
        held_s: for how long it was waited for.
    """
    holder = write_lock_holder(path)
    who = "another process" if holder is None else f"process {holder}"
    return LogUnavailable(
        f"{who} holds the write lock of the log {path}, for {held_s:.1f} s at least",
        "End it, or let it finish; the node goes on by itself",
    )


def write_lock_holder(path: Path) -> int | None:
    """The process that holds the write lock, None where the system does not tell."""
    for pid, kind, byte in _locks(path):
        if kind == "WRITE" and byte == _WRITE_LOCK:
            return pid
    return None


def snapshot_holders(path: Path) -> list[int]:
    """The processes that hold a snapshot just now; this one where there is no other."""
    found = {pid for pid, kind, byte in _locks(path) if kind == "READ" and byte in _READ_LOCKS}
    return sorted(found - {os.getpid()} or found)


def _locks(path: Path) -> Iterator[tuple[int, str, str]]:
    """Process, kind and first byte of each lock on the `-shm` file, where the system tells."""
    try:
        inode = Path(f"{path}-shm").stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if words[5].endswith(f":{inode}"):
            yield int(words[4]), words[3], words[6]


def unusable(path: Path, error: apsw.Error) -> ConfigError:
    """Why the file cannot be opened or written, in the words of the file system."""
    there = path if path.exists() else path.parent
    if path.is_dir():
        found = "it is a folder"
    elif _read_only(there):
        found = "its file system is read-only"
    elif not os.access(there, os.W_OK | os.R_OK, effective_ids=True):
        found = f"the user {os.geteuid()} may not write {there}"
    elif not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        found = f"the user {os.geteuid()} may not write the folder {path.parent}"
    else:
        found = str(error)
    return ConfigError(
        f"the log {path} cannot be written: {found}; a node writes to its log: give it the "
        "right to, or name another with --log"
    )


def _read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def note_doubt(path: Path, why: str) -> None:
    """Leave word beside the file that it is to be checked before it is used again."""
    with contextlib.suppress(OSError):  # a disk that takes nothing any more
        _mark(path).write_text(f"{why}\n")


def check_doubt(connection: apsw.Connection, path: Path) -> str | None:
    """Check a file that was left in doubt, and forget the doubt where it is sound.

    Returns:
        What is damaged; None where nothing is, or nothing was doubted.
    """
    if not _mark(path).exists():
        return None
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone() or ("nothing to check",)
    if found != "ok":
        return " ".join(str(found).split())
    _mark(path).unlink(missing_ok=True)
    return None


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".doubt")
