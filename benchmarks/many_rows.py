"""A table of many rows beside one of few: what grows with the data, and what must not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks import load
from benchmarks.events import Creates
from benchmarks.nodes import Place, call, serve, wait
from benchmarks.report import Sample, Samples
from clusterlite import Node
from clusterlite.examples.users import User
from clusterlite.log.open import make_log
from clusterlite.testing.cluster.nodes import ClusterNode

FEW: Final = 10_000
MANY: Final = 1_000_000
MANY_LARGE: Final = 10_000_000
CLIENTS: Final = 32
REFILL_S: Final = 2
"""Reads that are not counted, by which a node that was just started fills its caches."""

_BATCH: Final = 1_000
_READ_BYTES: Final = 1024 * 1024


@contextmanager
def many_rows(place: Place) -> Iterator[Callable[[], Samples]]:
    """Two nodes on embedded logs; the big one is started anew for each measurement."""
    many = MANY_LARGE if place.large else MANY
    for name, rows in (("few", FEW), ("many", many)):
        _fill(place, name, rows)
    with ExitStack() as stack:
        small, big = (stack.enter_context(serve(place, name)) for name in ("few", "many"))
        _expect(small, FEW)
        _expect(big, many)

        def measure() -> Samples:
            big.stop()
            begun = time.perf_counter()
            big.start()
            wait(big.ready, big.name)
            started_s = time.perf_counter() - begun
            _read_through(place.folder / "many" / "replica-1.db")
            load.reads_many(big.port, CLIENTS, REFILL_S, many)
            seconds = place.seconds
            few_reads = load.reads_many(small.port, CLIENTS, seconds, FEW).per_s
            many_reads = load.reads_many(big.port, CLIENTS, seconds, many).per_s
            few_writes = load.creates(small.port, CLIENTS, seconds).per_s
            many_writes = load.creates(big.port, CLIENTS, seconds).per_s
            return {
                "many-reads": Sample(many_reads, few_reads),
                "many-writes": Sample(many_writes, few_writes),
                "many-start": Sample(started_s),
            }

        yield measure


@contextmanager
def killed(place: Place) -> Iterator[Callable[[], Samples]]:
    """A node with many rows whose whole tree is killed while it takes creates."""
    many = MANY_LARGE if place.large else MANY
    _fill(place, "killed", many)
    with serve(place, "killed") as node:
        _expect(node, many)

        def measure() -> Samples:
            with suppress(load.LoadFailed), ThreadPoolExecutor() as pool:
                creates = pool.submit(load.creates, node.port, CLIENTS, place.seconds)
                time.sleep(place.seconds / 2)
                _kill(node)
                begun = time.perf_counter()
                node.start()
                wait(node.ready, node.name)
                started_s = time.perf_counter() - begun
                creates.result()
            _expect(node, many)
            return {"killed-start": Sample(started_s)}

        yield measure


def _kill(node: ClusterNode) -> None:
    """SIGKILL for its supervisor, its node process and its workers at once."""
    assert node.process is not None
    os.killpg(node.process.pid, signal.SIGKILL)
    node.process.wait()


def _fill(place: Place, name: str, rows: int) -> None:
    """Let a node found the log, append creates with sequential keys, and let a node apply them."""
    data, url = place.folder / name, f"file:{place.folder / name / 'log'}"
    creates = Creates(data, url)
    log = make_log(url)
    log.open()
    position = -1
    for first in range(0, rows, _BATCH):
        numbers = range(first, min(first + _BATCH, rows))
        values = [creates.record(load.row(number)) for number in numbers]
        position = log.append(values)[-1].result()
    log.close()
    with Node(data, log=url, entities=[User]) as node:
        wait(lambda: node.position >= position, name, wait_s=rows / 10_000 + 60)


def _read_through(path: Path) -> None:
    """Have the kernel hold the file, as it holds the small one: what is measured is no disk."""
    with path.open("rb") as file:
        while file.read(_READ_BYTES):
            pass


def _expect(node: ClusterNode, rows: int) -> None:
    """Look at the last row: it is there."""
    call(node.port, "GET", f"/users/{load.key(rows - 1)}")
