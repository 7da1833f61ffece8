"""A node that nobody asks anything: its memory and its share of a core."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

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

        def look() -> tuple[float, float]:
            """Memory in MB and the share of a core in percent."""
            time.sleep(SETTLED_S)
            tree = processes(parent)
            before, begun = sum(map(cpu_s, tree)), time.monotonic()
            time.sleep(SECONDS_LARGE if place.large else SECONDS)
            used = sum(map(cpu_s, tree)) - before
            percent = used / (time.monotonic() - begun) * 100
            return sum(map(pss_mb, tree)), percent

        def measure() -> Samples:
            memory, cpu = look()
            samples = {"idle-memory": Sample(memory), "idle-cpu": Sample(cpu)}
            with _page(node.port):
                memory, cpu = look()
            samples |= {"idle-open-memory": Sample(memory), "idle-open-cpu": Sample(cpu)}
            return samples

        yield measure


@contextmanager
def _page(port: int) -> Iterator[None]:
    """The node's page, open in a real browser that shows it.

    Raises:
        Missing: there is no Chromium here.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        raise Missing("no Chromium here")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # which refuses root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/-/ui/")
        page.get_by_text("ready").first.wait_for()
        yield
        browser.close()


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
