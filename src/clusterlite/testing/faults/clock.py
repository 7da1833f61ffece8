"""A clock of its own for one node: libfaketime, which reads from a file how far it is off."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
