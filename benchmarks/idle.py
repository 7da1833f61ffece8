"""A node that nobody asks anything: its memory and its share of a core."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.nodes import Missing, Place, serve
from benchmarks.report import Sample, Samples

SECONDS: Final = 15
SECONDS_LARGE: Final = 60
SETTLED_S: Final = 3
_PROC = Path("/proc")


@contextmanager
def idle(place: Place) -> Iterator[Callable[[], Samples]]:
    """A node on Kafka with its supervisor and one worker."""
    if not (_PROC / "self" / "smaps_rollup").exists():
        raise Missing("no /proc/self/smaps_rollup, as Linux has it")
    with serve(place, "idle", place.kafka("idle")) as node:
        assert node.process is not None
        parent = node.process.pid

        def measure() -> Samples:
            time.sleep(SETTLED_S)
            tree = processes(parent)
            before, begun = sum(map(cpu_s, tree)), time.monotonic()
            time.sleep(SECONDS_LARGE if place.large else SECONDS)
            used = sum(map(cpu_s, tree)) - before
            percent = used / (time.monotonic() - begun) * 100
            return {
                "idle-memory": Sample(sum(map(pss_mb, tree))),
                "idle-cpu": Sample(percent),
            }

        yield measure


def processes(parent: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            above = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended
            continue
        children.setdefault(above, []).append(int(entry.parent.name))
    found = [parent]
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, ()))
    return found


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Memory of a process, its part of what it shares included."""
    return _kib(_PROC / str(pid) / "smaps_rollup", "Pss") * 1024 / 1e6


def peak_rss_mb() -> float:
    """The most memory that this process ever had resident; 0 where the system does not tell."""
    status = _PROC / "self" / "status"
    return _kib(status, "VmHWM") * 1024 / 1e6 if status.exists() else 0.0


def _kib(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", file.read_text(), re.MULTILINE)
    return 0 if found is None else int(found[1])
