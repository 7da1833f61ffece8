"""An empty replica catches up with a topic of creates; beside it, the least that could be done.

    python -m benchmarks.catch_up ours|rows|tables LOG FOLDER RECORDS

Each measurement is a process of its own. `ours` reads and applies as a node's follower does.
`tables` has the records in memory, decodes them and inserts rows and outcomes into the tables of
a real replica, a transaction for 1,000; `rows` leaves the outcomes out. Neither looks whether
an event is there already, judges, hashes or validates anything.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Producer

from benchmarks.events import Creates
from benchmarks.idle import peak_rss_mb
from benchmarks.nodes import Place
from benchmarks.report import Sample, Samples
from clusterlite.log.base import Log, Record
from clusterlite.log.open import make_log
from clusterlite.node.follower import BATCH_MAX, Follower
from clusterlite.node.ids import uuid7
from clusterlite.replica.applier import Applier
from clusterlite.replica.database import Connection, open_writer
from clusterlite.replica.state import take_over
from tools.setup import ROOT

RECORDS: Final = 200_000
RECORDS_LARGE: Final = 1_000_000
RAW_JUDGED: Final = 300_000
"""The raw rate from which the rate of our own is judged, rows a second."""

READ_S: Final = 10.0
INCARNATION: Final = "benchmark"
INSERT_ROW: Final = 'INSERT INTO "users" (id, "name", "email", _version) VALUES (?,?,?,?)'
INSERT_OUTCOME: Final = "INSERT INTO _cl_outcome VALUES (?,?,'applied',NULL,?,?)"


class RawRow(msgspec.Struct):
    """The part of an event that becomes a row."""

    id: str
    name: str
    email: str


class RawEvent(msgspec.Struct):
    """What the raw side decodes of an event."""

    id: str
    data: RawRow
    fp: str = ""


@contextmanager
def catch_up(place: Place) -> Iterator[Callable[[], Samples]]:
    """A topic full of creates, and processes that take it in."""
    log = place.kafka("catch-up")
    records = RECORDS_LARGE if place.large else RECORDS
    _fill(place, log, records)

    def run(side: str) -> dict[str, float]:
        folder = place.folder / "catch-up-child"
        command = [sys.executable, "-m", "benchmarks.catch_up", side, log, str(folder)]
        try:
            done = subprocess.run(
                [*command, str(records)], stdout=subprocess.PIPE, cwd=ROOT, check=True
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    def measure() -> Samples:
        tables, rows, ours = run("tables"), run("rows"), run("ours")
        samples = {
            "catch-up": Sample(ours["per_s"], tables["per_s"]),
            "catch-up-rows": Sample(ours["per_s"], rows["per_s"]),
            "catch-up-memory": Sample(ours["peak_mb"]),
        }
        if tables["per_s"] > RAW_JUDGED:
            samples["catch-up-rate"] = Sample(ours["per_s"])
        return samples

    yield measure


def _fill(place: Place, log: str, records: int) -> None:
    """Let a node found the log, then produce creates as its worker would."""
    creates = Creates(place.folder / "catch-up", log)
    producer = Producer({"bootstrap.servers": place.brokers, "acks": "all", "linger.ms": "5"})
    for number in range(records):
        row = {"id": uuid7(), "name": f"Name {number}", "email": f"n{number}@e.com"}
        event = creates.record(row, f"{number:032x}")
        while True:
            try:
                producer.produce("catch-up", event, partition=0)
                break
            except BufferError:  # its queue is full
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(60) > 0:
        raise RuntimeError("Kafka did not take the records")


def ours(log: Log, folder: Path, records: int) -> float:
    """Seconds from the first read to the last commit."""
    connection = _replica(folder)
    follower = Follower(log, Applier(connection, INCARNATION), frozenset())
    last = log.bounds().end - 1
    begun = time.perf_counter()
    while follower.seen.position < last:
        follower.step(READ_S)
    taken = time.perf_counter() - begun
    (count,) = connection.execute('SELECT count(*) FROM "users"').fetchall()[0]
    if count != records:
        raise RuntimeError(f"{count} rows of {records}: creates were rejected")
    connection.close()
    return taken


def raw(log: Log, folder: Path, records: int, *, outcomes: bool) -> float:
    """Seconds to decode and insert all that stands in memory."""
    connection = _replica(folder)
    found = _read(log)
    applier = Applier(connection, INCARNATION)
    declared = len(found) - records
    applier.apply(found[:declared])
    decode = msgspec.json.Decoder(RawEvent).decode
    begun = time.perf_counter()
    for first in range(declared, len(found), BATCH_MAX):
        batch = [(each.position, decode(each.value)) for each in found[first : first + BATCH_MAX]]
        connection.execute("BEGIN IMMEDIATE")
        _insert(connection, batch, outcomes=outcomes)
        connection.execute("COMMIT")
    taken = time.perf_counter() - begun
    connection.close()
    return taken


def _insert(connection: Connection, batch: list[tuple[int, RawEvent]], *, outcomes: bool) -> None:
    connection.executemany(
        INSERT_ROW,
        [(event.data.id, event.data.name, event.data.email, at) for at, event in batch],
    )
    if outcomes:
        detail = '[{"created":true}]'
        connection.executemany(
            INSERT_OUTCOME, [(at, event.id, detail, event.fp) for at, event in batch]
        )


def _replica(folder: Path) -> Connection:
    folder.mkdir(parents=True)
    connection = open_writer(folder / "replica-1.db")
    take_over(connection, "benchmark", INCARNATION)
    return connection


def _read(log: Log) -> list[Record]:
    found: list[Record] = []
    position, end = 0, log.bounds().end
    while position < end:
        batch = log.read(position, BATCH_MAX, READ_S)
        found += batch.records
        position = batch.next
    return found


def main() -> None:
    """Measure one side; prints JSON."""
    side, url, folder, count = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    log = make_log(url)
    log.open()
    try:
        if side == "ours":
            taken = ours(log, folder, count)
        else:
            taken = raw(log, folder, count, outcomes=side == "tables")
    finally:
        log.close()
    print(json.dumps({"per_s": count / taken, "peak_mb": peak_rss_mb()}))


if __name__ == "__main__":
    main()
