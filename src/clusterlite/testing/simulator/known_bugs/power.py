"""Power loss in process: the real embedded log on a file system that forgets what was not synced.

Known bugs of the log's file cannot show in the simulator, whose log is simulated.
"""

from __future__ import annotations

import itertools
import random
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import apsw

from clusterlite.errors import ClusterLiteError
from clusterlite.log import file
from clusterlite.log.file import FileLog
from clusterlite.testing.simulator.known_bugs.switch import Switch, Trial

GROUPS: Final = 40
GROUP_MAX: Final = 5
_names = itertools.count()


class ForgetfulDisk(apsw.VFS):
    """SQLite's file system while `with` lasts; `left` is what a power loss now would leave.

    A sync may be made to fail once: what was to be synced is then gone, as on Linux.
    """

    def __init__(self) -> None:
        self.name = f"forgetful-{next(_names)}"
        self.left: dict[str, bytearray] = {}
        self.fail_next_sync = False
        super().__init__(self.name, "unix", makedefault=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        self.left.pop(filename, None)
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: ForgetfulDisk, name: Any, flags: Any) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._unsynced: list[tuple[int, bytes | None]] = []
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._unsynced.append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._unsynced.append((newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        unsynced, self._unsynced = self._unsynced, []
        if self._disk.fail_next_sync:
            self._disk.fail_next_sync = False
            raise apsw.IOError("injected into sync")
        image = self._disk.left.setdefault(self._name, bytearray())
        for offset, data in unsynced:
            if data is None:
                del image[offset:]
                continue
            image.extend(bytes(max(0, offset - len(image))))
            image[offset : offset + len(data)] = data
        super().xSync(flags)


def embedded_log(seed: int) -> Trial:
    """Append to an embedded log until the power goes; each second seed has a failing fsync."""
    chance = random.Random(seed)  # noqa: S311 - a run must be repeatable
    with tempfile.TemporaryDirectory(prefix="clusterlite-power-") as folder:
        with ForgetfulDisk() as disk:
            log = FileLog(Path(folder) / "log")
            log.open()
            told, found = _append(disk, log, chance, fails=seed % 2 == 1)
            left = {name: bytes(image) for name, image in disk.left.items()}
            log.close()
        after = Path(folder) / "after"
        after.mkdir()
        for name, image in left.items():
            (after / Path(name).name).write_bytes(image)
        return Trial(len(told), found + _lost(after / "log", told))


def _append(
    disk: ForgetfulDisk, log: FileLog, chance: random.Random, *, fails: bool
) -> tuple[dict[int, bytes], list[str]]:
    """What was acknowledged, and what was so although it must not be."""
    told: dict[int, bytes] = {}
    found: list[str] = []
    failing = chance.randrange(GROUPS) if fails else -1
    failed = False
    for number in range(chance.randint(1, GROUPS)):
        values = [chance.randbytes(chance.randint(1, 500)) for _ in range(GROUP_MAX)]
        disk.fail_next_sync = number == failing
        for value, append in zip(values, log.append(values), strict=True):
            if append.exception() is None:
                told[append.result()] = value
                if failed:
                    found.append(f"I10: {append.result()} is acknowledged after a failed fsync")
            elif number == failing:
                failed = True
    return told, found


def _lost(path: Path, told: dict[int, bytes]) -> list[str]:
    """What was acknowledged, and is not in the file that the power loss left."""
    if not told:
        return []
    try:
        file.adopt_moved(path)
        log = FileLog(path)
        log.open()
        try:
            records = log.read(0, len(told) + GROUPS * GROUP_MAX, 0).records
        finally:
            log.close()
    except ClusterLiteError as error:
        return [f"I1: {len(told)} records were acknowledged, and the log does not open: {error}"]
    there = {record.position: record.value for record in records}
    return [
        f"I1: the record at {position} was acknowledged, and is lost"
        for position, value in told.items()
        if there.get(position) != value
    ]


def acknowledged_before_fsync(switch: Switch) -> None:
    """The embedded log commits without waiting for the disk."""

    def connect(path: Path) -> apsw.Connection:
        connection: apsw.Connection = connected(path)
        connection.pragma("synchronous", "NORMAL")
        return connection

    connected = switch.set(file, "_connect", connect)


def append_after_a_failed_fsync(switch: Switch) -> None:
    """The embedded log takes appends again after an fsync failed."""

    def failed(self: Any, *rest: Any, **more: Any) -> None:
        try:
            failing(self, *rest, **more)
        finally:
            self._poisoned = None

    failing = switch.set(FileLog, "_failed", failed)
