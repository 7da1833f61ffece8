"""kill -9 of processes that append to one embedded log: every position that they were told of
is there with its bytes, and positions are consecutive (I1, port rules 2 and 4).
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.log.file import FileLog
from tests.processes import wait_until

PROGRAM = """
import sys
from pathlib import Path
from clusterlite.log.file import FileLog

log = FileLog(Path(sys.argv[1]))
log.open()
number = 0
while True:
    values = [b"%s/%d" % (sys.argv[2].encode(), number + offset) for offset in range(7)]
    for value, future in zip(values, log.append(values)):
        print(future.result(), value.decode())
    sys.stdout.flush()
    number += len(values)
"""
APPENDS_BEFORE_A_KILL = 500
NAMES = ("first", "second")


class Appender:
    """A process that appends groups in a loop and says where each value stands."""

    def __init__(self, log: Path, name: str) -> None:
        self.told: dict[int, bytes] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(log), name], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # the last one may be cut by the kill
                position, value = line.split()
                self.told[int(position)] = value.encode()

    def wait_for_appends(self) -> None:
        wait_until(
            lambda: len(self.told) >= APPENDS_BEFORE_A_KILL or self.process.poll() is not None
        )
        assert self.process.poll() is None

    def kill(self) -> None:
        """kill -9; then all that it said is known. Idempotent."""
        self.process.kill()
        self.process.wait(10)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def appenders() -> Iterator[list[Appender]]:
    started: list[Appender] = []
    yield started
    for appender in started:
        appender.kill()


def positions(path: Path) -> dict[int, bytes]:
    """The whole log, which refuses to be read where a record is missing."""
    log = FileLog(path)
    log.open()
    try:
        records = log.read(0, 1_000_000, 0).records
        assert log.bounds() == (0, len(records))
    finally:
        log.close()
    assert [record.position for record in records] == list(range(len(records)))
    return {record.position: record.value for record in records}


def test_what_killed_appenders_were_told_is_there_after_each_kill(
    tmp_path: Path, appenders: list[Appender]
) -> None:
    path = tmp_path / "log"
    told: dict[int, bytes] = {}
    for turn in range(3):
        both = [Appender(path, f"{name}-{turn}") for name in NAMES]
        appenders += both
        for appender in both:
            appender.wait_for_appends()
        for appender in both:
            appender.kill()
            assert not appender.told.keys() & told.keys(), "a position was given twice"
            told |= appender.told
        found = positions(path)
        lost = {position for position in told if found.get(position) != told[position]}
        assert not lost, f"acknowledged and lost: {sorted(lost)[:5]}"
        assert len(set(found.values())) == len(found), "a value stands twice"
