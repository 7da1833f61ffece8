"""A clock of its own for one node: libfaketime, which reads from a file how far it is off."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from clusterlite.testing.faults.operator import Kind

JUMP_S: Final = 3.0
JUMPS: Final = ("+3700", "-3700", "+0")

_LIBRARIES: Final = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


def find_faketime() -> Path | None:
    """The library for programs with threads; None where it is not installed."""
    for pattern in _LIBRARIES:
        for found in sorted(Path("/").glob(pattern[1:])):
            return found
    return None


def own_clock(file: Path) -> dict[str, str]:
    """The environment of processes whose wall clock is off by what a file says.

    Their monotonic clock stays: a machine's does not jump either (POSIX, clock_gettime).

    Args:
        file: holds an offset in seconds, such as `+3600`; made here.
    """
    library = find_faketime()
    if library is None:
        raise RuntimeError("libfaketime is not installed; Debian: apt-get install libfaketime")
    file.write_text("+0\n")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class Clock:
    """Faults of the clock of one node.

    Args:
        node: its index.
        file: that says how far its clock is off.
    """

    def __init__(self, node: int, file: Path) -> None:
        self._node = node
        self._file = file

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        return {"clock jumps": Kind(lambda _: self._jump(), (self._node,))}

    def _jump(self) -> None:
        for jump in JUMPS:
            self._file.write_text(f"{jump}\n")
            time.sleep(JUMP_S)

    def heal(self) -> None:
        """Let the clock be right."""
        self._file.write_text("+0\n")
