"""What outcomes and hashes cost in apply: the same creates with and without them.

    python -m benchmarks.apply_cost with|without LOG FOLDER

Each measurement is a process of its own: it reads all records into memory, then times how an
empty replica applies them, batch by batch as a follower does. `without` is the same applier with
its groups and its single records neither keeping an outcome nor hashing anything; it still
decodes, judges what needs no outcome, checks types and inserts the same rows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.events import Creates
from benchmarks.nodes import Place
from benchmarks.report import Sample, Samples
from clusterlite.core.outcome import Applied
from clusterlite.log.base import Log, Record
from clusterlite.log.open import make_log
from clusterlite.node.follower import BATCH_MAX
from clusterlite.node.ids import uuid7
from clusterlite.replica import applier, groups
from clusterlite.replica.database import Connection, open_writer, scalar
from clusterlite.replica.state import State, take_over
from tools.setup import ROOT

RECORDS: Final = 200_000
INCARNATION: Final = "benchmark"
_APPENDED: Final = 1_000


class Rows(groups.InsertGroup):
    """A group that writes its rows and moves the position, and that is all."""

    def insert(self, connection: Connection) -> None:
        """See `InsertGroup.insert`; without the outcomes."""
        groups._execute(
            connection,
            self.table.inserts,
            [(*row, record.position) for row, record in zip(self._rows, self.records, strict=True)],
        )

    def advance(self, state: State, _wanted: Container[str] | None, _done: list[Applied]) -> None:
        """See `InsertGroup.advance`; without the hashes."""
        state.position = self.table.written = self.records[-1].position
        state.time_ms = max(state.time_ms, *(record.time_ms for record in self.records))


@contextmanager
def apply_cost(place: Place) -> Iterator[Callable[[], Samples]]:
    """An embedded log full of creates, and processes that apply it in turn."""
    log = f"file:{place.folder / 'apply-cost' / 'log'}"
    _fill(place.folder / "apply-cost", log)
    rounds = 0

    def run(side: str) -> float:
        folder = place.folder / "apply-cost-child"
        command = [sys.executable, "-m", "benchmarks.apply_cost", side, log, str(folder)]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return float(json.loads(done.stdout))

    def measure() -> Samples:
        nonlocal rounds
        rounds += 1
        sides = ["with", "without"] if rounds % 2 else ["without", "with"]
        per_s = {side: run(side) for side in sides}
        return {"apply-cost": Sample(per_s["with"], per_s["without"])}

    yield measure


def _fill(data: Path, url: str) -> None:
    creates = Creates(data, url)
    log = make_log(url)
    log.open()
    for first in range(0, RECORDS, _APPENDED):
        rows = [
            {"id": uuid7(), "name": f"Name {number}", "email": f"n{number}@e.com"}
            for number in range(first, first + _APPENDED)
        ]
        log.append([creates.record(row, f"{first:032x}") for row in rows])[-1].result()
    log.close()


def _without_outcomes_and_hashes() -> None:
    """Have this process's appliers leave them out."""
    vars(groups).update(InsertGroup=Rows)
    vars(applier).update(
        store_outcome=lambda *_: True,
        advance=lambda running, *_: running,
        record_hash=lambda _: b"",
    )


def _records(log: Log) -> list[Record]:
    found: list[Record] = []
    position, end = 0, log.bounds().end
    while position < end:
        batch = log.read(position, BATCH_MAX, 10.0)
        found += batch.records
        position = batch.next
    return found


def main() -> None:
    """Measure one side; prints records a second as JSON."""
    side, url, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if side == "without":
        _without_outcomes_and_hashes()
    log = make_log(url)
    log.open()
    records = _records(log)
    log.close()
    folder.mkdir(parents=True)
    connection = open_writer(folder / "replica-1.db")
    take_over(connection, "benchmark", INCARNATION)
    applying = applier.Applier(connection, INCARNATION)
    begun = time.perf_counter()
    for first in range(0, len(records), BATCH_MAX):
        applying.apply(records[first : first + BATCH_MAX], frozenset())
    taken = time.perf_counter() - begun
    rows = scalar(connection, "SELECT count(*) FROM users")
    outcomes = scalar(connection, "SELECT count(*) FROM _cl_outcome")
    connection.close()
    if rows != RECORDS or (outcomes >= RECORDS) != (side == "with"):
        raise RuntimeError(f"{rows} rows and {outcomes} outcomes of {RECORDS} creates")
    print(json.dumps(len(records) / taken))


if __name__ == "__main__":
    main()
