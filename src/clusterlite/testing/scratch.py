"""A scratch replica for table operations, in this process or in one that differs in all it can.

    python -m clusterlite.testing.scratch FOLDER SHIFT_S

reads pickled operations and rows from its standard input, and prints the trace of the story: the
contract suite starts it in other time zones, locales, hash seeds and, by the shift, other years.
"""

from __future__ import annotations

import contextlib
import json
import locale
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from clusterlite.core import codec
from clusterlite.core.event import Condition, Stamp
from clusterlite.core.fields import Json
from clusterlite.core.names import fold
from clusterlite.core.operations import TableOperations
from clusterlite.core.outcome import Applied
from clusterlite.core.registry import EntityRegistry
from clusterlite.log.base import Record
from clusterlite.replica.applier import Applier
from clusterlite.replica.database import Connection, open_writer
from clusterlite.replica.state import take_over
from clusterlite.replica.tables import PhysicalTable
from clusterlite.replica.verify import verify

Rows = Sequence[dict[str, Json]]

CLUSTER: Final = "contract"
CHILD_WAIT_S: Final = 60.0
SHIFT_S: Final = 300_000_000
SURROUNDINGS: Final = (
    {"PYTHONHASHSEED": "1", "TZ": "Etc/GMT+12", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "Etc/GMT-14", "LC_ALL": "C.UTF-8"},
)
"""Time zones 26 hours apart: the local date is never the same in both."""


def stamp(number: int, after: int = -1) -> Stamp:
    """A stamp that is the same wherever it is made."""
    return Stamp(f"e-{number}", "2026-11-22T20:00:00.123456Z", CLUSTER, "node", after)


class StoredRows:
    """The rows of one table as they are committed: an `operations.TableReader`.

    Args:
        connection: of the replica.
        table: of its tables.
    """

    def __init__(self, connection: Connection, table: PhysicalTable) -> None:
        self._connection = connection
        self._table = table

    def fetch(self, key: str) -> dict[str, Json] | None:
        """See `operations.TableReader`."""
        found = self._connection.execute(self._table.select_row, (key,)).fetchone()
        schema = self._table.schema
        return None if found is None else schema.shown(key, schema.image(found[:-1]))

    def fetch_all(self) -> Iterator[dict[str, Json]]:
        """See `operations.TableReader`."""
        keys = self._connection.execute(f"SELECT id FROM {self._table.name} ORDER BY id").fetchall()  # noqa: S608 - a quoted name
        for (key,) in keys:
            row = self.fetch(str(key))
            if row is not None:
                yield row


class Scratch:
    """A fresh replica in which the operations' table is declared.

    Args:
        folder: where its file is made.
        operations: of the one table.
    """

    def __init__(self, folder: Path, operations: TableOperations) -> None:
        folder.mkdir(parents=True)
        self.path = folder / "replica-1.db"
        self.operations = operations
        self._connection = open_writer(self.path)
        take_over(self._connection, "node", "scratch")
        self._applier = Applier(self._connection, "scratch", EntityRegistry([operations]))
        self._position = 0
        self.apply([codec.encode(stamp(0), "GENESIS"), self.declaration(1)])

    def declaration(self, number: int) -> bytes:
        """The SCHEMA event of the table."""
        table = self.operations.create_table()
        return codec.encode(stamp(number), "SCHEMA", table.name, table.to_json())

    def apply(self, values: Iterable[bytes]) -> list[Applied]:
        """Apply the records as one batch."""
        records = [
            Record(self._position + offset, 1_795_377_600_000, value)
            for offset, value in enumerate(values)
        ]
        self._position += len(records)
        return self._applier.apply(records)

    @property
    def table(self) -> PhysicalTable:
        """The table as it is declared now."""
        return self._applier.tables[fold(self.operations.table_name)]

    @property
    def rows(self) -> StoredRows:
        """What is committed."""
        return StoredRows(self._connection, self.table)

    def content(self) -> str:
        """The content hash."""
        return verify(self.path).content

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def story(operations: TableOperations, rows: Rows) -> list[bytes]:
    """Events that create, replace, patch and delete every row, refused ones among them."""
    events: list[bytes] = []

    def next_stamp() -> Stamp:
        return stamp(100 + len(events))

    events.extend(operations.create_event(stamp(10 + n), row, 1) for n, row in enumerate(rows))
    for row, following in zip(rows, [*rows[1:], rows[0]], strict=True):
        key = row["id"]
        events.append(operations.create_event(next_stamp(), row, 1))
        events.append(operations.update_event(next_stamp(), {**following, "id": key}, 1))
        name = next((name for name in row if name != "id"), None)
        if name is not None:
            patch = {"id": key, name: row[name]}
            events.append(
                codec.encode(next_stamp(), "PATCH", operations.table_name, patch, schema=1)
            )
        absent = Condition(present=False)
        events.append(operations.update_event(next_stamp(), row, 1, absent))
        events.append(operations.update_event(next_stamp(), {**row, "id": f"{key}.2"}, 1))
    events.append(operations.delete_event(next_stamp(), rows[0]["id"]))
    events.append(operations.delete_event(next_stamp(), rows[0]["id"]))
    events.append(operations.create_event(next_stamp(), rows[0], 1))
    return events


def trace(folder: Path, operations: TableOperations, rows: Rows, batch: int = 0) -> list[str]:
    """Apply the story to a fresh replica: each outcome with its images, then the content hash.

    Args:
        folder: of the replica, made here.
        operations: that apply it.
        rows: of the story.
        batch: records a transaction; all in one by default.
    """
    scratch = Scratch(folder, operations)
    events = story(operations, rows)
    size = batch or len(events)
    lines: list[str] = []
    for start in range(0, len(events), size):
        for applied in scratch.apply(events[start : start + size]):
            lines.append(f"{applied.outcome} {applied.rows}")  # noqa: PERF401 - two levels
    lines.append(f"content {scratch.content()}")
    scratch.close()
    return lines


def trace_elsewhere(
    folder: Path, operations: TableOperations, rows: Rows, environment: dict[str, str], shift_s: int
) -> list[str]:
    """The same in a process of its own.

    Args:
        folder: of the replica, made there.
        operations: of a class that can be imported by its name.
        rows: of the story.
        environment: on top of this process's.
        shift_s: how far its clock is ahead, in seconds.
    """
    path = os.pathsep.join(entry or "." for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder), str(shift_s)],
        input=pickle.dumps((operations, list(rows))),
        capture_output=True,
        env={**os.environ, **environment, "PYTHONPATH": path},
        timeout=CHILD_WAIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"it fails in another process: {done.stderr.decode()}")
    lines: list[str] = json.loads(done.stdout)
    return lines


def main() -> None:
    """The other process."""
    folder, shift_s = Path(sys.argv[1]), int(sys.argv[2])
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    now, now_ns = time.time, time.time_ns
    # Before the operations' module is imported, so that it finds nothing else.
    time.time = lambda: now() + shift_s
    time.time_ns = lambda: now_ns() + shift_s * 10**9
    operations, rows = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process above
    sys.stdout.write(json.dumps(trace(folder, operations, rows)))


if __name__ == "__main__":
    main()
