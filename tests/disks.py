"""Disks that are small, full, read-only or another user's, for as long as a test needs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.processes import leave_out

NOBODY = 65534
_BLOCK_BYTES = 512


@contextmanager
def small_disk(folder: Path, size: str = "8m") -> Iterator[Path]:
    """A file system of its own, in memory."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs"):
        yield folder


@contextmanager
def read_only(folder: Path, at: Path) -> Iterator[Path]:
    """A folder seen through another path, by which nobody may write it, root neither."""
    with _mounted(at, "--bind", str(folder)):
        _mount("-o", "remount,ro,bind", str(at))
        yield at


@contextmanager
def _mounted(folder: Path, *what: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    _mount(*what, str(folder))
    try:
        yield
    finally:
        subprocess.run([*_as_root(), "umount", "-l", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    found = subprocess.run([*_as_root(), "mount", *arguments], capture_output=True, check=False)
    if found.returncode:
        leave_out(f"no file system can be mounted here: {found.stderr.decode().strip()}")


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


class Balloon:
    """A file that takes all the room that a disk has left.

    Args:
        disk: a folder of it.
    """

    def __init__(self, disk: Path) -> None:
        self._file = disk / "balloon"

    def blow_up(self) -> None:
        with self._file.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * _BLOCK_BYTES):
                pass

    def burst(self) -> None:
        self._file.unlink()


@contextmanager
def another_user() -> Iterator[None]:
    """Root may write everywhere: what is opened meanwhile is opened as nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A new folder that another user may enter and not write."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@contextmanager
def not_writable(*paths: Path) -> Iterator[None]:
    """Paths that their owner may not write, where that is not root."""
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with another_user():
            yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
