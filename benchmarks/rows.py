"""What is measured, what it is compared with, and what it must reach.

A row with `against` is judged by the ratio of both, else by its own figure. "Bare" is the
application of `bare.py`: the same query and encoding under the same HTTP server, one worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: on the command line.
        what: is measured.
        unit: of the figures.
        against: what it is compared with, empty for a limit of its own.
        at_least: lower bound of the ratio or figure; None where it is unbounded below.
        at_most: upper bound; a row without any bound is shown for information.
        usual: measured where no row is named; the others with --large too.
    """

    name: str
    what: str
    unit: str
    against: str = ""
    at_least: float | None = None
    at_most: float | None = None
    usual: bool = True

    def met(self, value: float) -> bool | None:
        """Whether the ratio or figure is within the bounds, None where there are none."""
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most

    @property
    def target(self) -> str:
        """The bound as people read it."""
        if self.at_least is not None:
            return f">= {self.at_least:,.3g}"
        return "-" if self.at_most is None else f"<= {self.at_most:,g}"


ROWS: Final = (
    Row(
        "reads",
        "one row by key, 32 clients",
        "/s",
        "bare reads, 32 clients",
        at_least=0.85,
    ),
    Row(
        "create",
        "create, 1 client, embedded log, p50",
        "ms",
        "bare read p50, 1 client + one fsync of 4 KiB p50",
        at_most=2.5,
    ),
    Row(
        "creates",
        "creates, 64 clients, embedded log",
        "/s",
        "bare reads, 64 clients",
        at_least=0.60,
    ),
    Row(
        "overload",
        "creates, 640 clients, embedded log",
        "/s",
        "64 clients",
        at_least=0.8,
        usual=False,
    ),
    Row(
        "overload-after",
        "creates, 64 clients, embedded log, right after those",
        "/s",
        "before them",
        at_least=0.8,
        usual=False,
    ),
    Row(
        "create-kafka",
        "create, 1 client, Kafka, p50",
        "ms",
        "raw produce-to-consume p50 + bare read p50, 1 client",
        at_most=1.6,
    ),
    Row(
        "creates-kafka",
        "creates, 64 clients, Kafka on this machine",
        "/s",
        "bare reads, 64 clients",
        at_least=0.38,
    ),
    Row(
        "creates-three",
        "creates, 64 clients at one of three nodes on Kafka, all on this machine",
        "/s",
        "bare reads, 64 clients",
        at_least=0.26,
    ),
    Row(
        "equal-three",
        "after those: last answer until positions and hashes of the three are equal",
        "s",
        at_most=1.0,
    ),
    Row(
        "strong-reads",
        "strong reads of one row by key, 32 clients, embedded log",
        "/s",
        "creates on the same log, 32 clients",
        at_least=0.5,
        usual=False,
    ),
    Row(
        "strong-reads-kafka",
        "strong reads of one row by key, 32 clients, Kafka on this machine",
        "/s",
        "creates on the same log, 32 clients",
        at_least=0.5,
        usual=False,
    ),
    Row(
        "session-reads",
        "one row by key with the token of the last write, 32 clients",
        "/s",
        "the same reads without a token",
        at_least=1 / 1.1,
        usual=False,
    ),
    Row(
        "pocketbase-creates",
        "creates, 64 clients, embedded log",
        "/s",
        "PocketBase, the same",
        at_least=3.0,
    ),
    Row(
        "pocketbase-reads",
        "one row by key, 32 clients",
        "/s",
        "PocketBase, the same",
        at_least=2.0,
    ),
    Row(
        "get",
        "the embedded library's node.get",
        "/s",
        "raw apsw by key, decoded into a struct",
        at_least=0.5,
    ),
    Row(
        "catch-up",
        "an empty replica applies creates from Kafka",
        "/s",
        "raw decode + executemany into the same tables (rows, outcomes), batches of 1,000",
        at_least=0.4,
    ),
    Row(
        "catch-up-rows",
        "the same",
        "/s",
        "raw decode + executemany of the rows alone, no outcomes",
    ),
    Row(
        "catch-up-rate",
        "the same; judged where the raw figure is over 300,000",
        "/s",
        at_least=100_000,
    ),
    Row(
        "apply-cost",
        "apply of 200,000 creates to an empty replica",
        "/s",
        "without outcomes and hashes",
        at_least=1 / 1.35,
        usual=False,
    ),
    Row("catch-up-memory", "peak resident memory of that process", "MB", at_most=250),
    Row(
        "idle-memory",
        "PSS of an idle node on Kafka: parent, node and worker, page closed",
        "MB",
        at_most=150,
    ),
    Row("idle-cpu", "CPU of the same, of one core", "%", at_most=1.0),
    Row("idle-open-memory", "PSS of the same, the page open in Chromium", "MB", at_most=150),
    Row("idle-open-cpu", "CPU of the same, of one core", "%", at_most=1.0),
    Row(
        "many-reads",
        "one row by key of 1,000,000 (large: 10,000,000), 32 clients",
        "/s",
        "of 10,000 rows",
        at_least=1 / 1.3,
    ),
    Row(
        "many-writes",
        "creates beside as many rows, 32 clients, embedded log",
        "/s",
        "beside 10,000 rows",
        at_least=1 / 1.3,
    ),
    Row("many-start", "start of the node with the many rows until it is ready", "s", at_most=2.0),
    Row(
        "failover",
        "reads and keyed creates that failed, as one of three nodes behind Nginx is killed",
        "",
        at_most=0,
        usual=False,
    ),
    Row(
        "failover-plain",
        "creates without a key that failed meanwhile; 4 clients have one in flight each",
        "",
        at_most=4,
        usual=False,
    ),
    Row(
        "killed-start",
        "kill -9 of all processes of a node with 1,000,000 rows under creates: start until ready",
        "s",
        at_most=2.0,
        usual=False,
    ),
)
