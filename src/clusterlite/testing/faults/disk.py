"""Disks that fail: one that can be filled, one that loses its power. Both take root: a mount."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DISK_SIZE: Final = "256m"
IMAGE_BYTES: Final = 512 * 1024 * 1024
UNMOUNT_WAIT_S: Final = 10.0

_CHUNK: Final = bytes(1 << 20)
_SHUT_DOWN: Final = 0x8004587D
"""The ioctl EXT4_IOC_SHUTDOWN; 2 is without a flush of the journal: as if the power had failed."""

_NO_FLUSH: Final = struct.pack("I", 2)


class DiskMissing(Exception):
    """No disk of its own can be given to a node here; says why."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A tmpfs of `DISK_SIZE` at that folder.

    Raises:
        DiskMissing: it cannot be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


class LoopDisk:
    """An ext4 file system in a file, whose power can fail.

    Args:
        image: the file.
        folder: where it is mounted.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder

    def make(self) -> None:
        """Make and mount it.

        Raises:
            DiskMissing: it cannot be.
        """
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mount()

    def mount(self) -> None:
        """Mount it; the kernel replays its journal."""
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def unmount(self) -> None:
        """Unmount it once its last file is closed.

        What was killed may hold one for a moment, and mounted meanwhile it would still be off.
        """
        deadline = time.monotonic() + UNMOUNT_WAIT_S
        command = ["umount", str(self.folder)]
        while subprocess.run(command, capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                subprocess.run([*command, "--lazy"], capture_output=True, check=False)
                return
            time.sleep(0.02)

    def lose_power(self) -> None:
        """From now on nothing reaches the disk; what was not synced is lost."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUT_DOWN, _NO_FLUSH)
        finally:
            os.close(descriptor)


@contextmanager
def loop_disk(image: Path, folder: Path) -> Iterator[LoopDisk]:
    """A `LoopDisk`, mounted.

    Raises:
        DiskMissing: it cannot be.
    """
    disk = LoopDisk(image, folder)
    disk.make()
    try:
        yield disk
    finally:
        disk.unmount()


def fill(balloon: Path, until: Callable[[], bool], wait_s: float) -> None:
    """Let a file take all space of its disk, and again, until a condition holds.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + wait_s
    while not until():
        _blow_up(balloon)
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody took note of the full disk {balloon.parent}")
        time.sleep(0.05)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DiskMissing(f"no {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise DiskMissing(done.stderr.strip() or f"{command[0]} failed")


def _blow_up(balloon: Path) -> None:
    """Write until there is no space at all."""
    with contextlib.suppress(OSError), balloon.open("ab", buffering=0) as file:
        chunk = _CHUNK
        while chunk:
            written = file.write(chunk)
            if written < len(chunk):
                chunk = chunk[: len(chunk) // 2]
