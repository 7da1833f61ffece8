"""The log in memory: for tests and examples. The same contract, and nothing on disk.

Several handles may share one `MemoryStore`, as several nodes share a topic.
"""

from __future__ import annotations

import select
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from clusterlite.errors import Halt, LogClosed, RecordTooLarge
from clusterlite.log.base import Batch, Bounds, Identity, Record
from clusterlite.log.doorbell import Pipe

RECORD_BYTES_MAX: Final = 1_000_000


class MemoryStore:
    """What several handles share: the records, and who is woken by a new one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.log_id = str(uuid.uuid4())
        self.first = 0
        self.records: list[Record] = []
        self.bells: set[Pipe] = set()
        self.last_ms = 0

    @property
    def end(self) -> int:
        """One past the newest record."""
        return self.first + len(self.records)


class MemoryLog:
    """A handle on a store.

    Args:
        store: shared with other handles; one of its own by default.
    """

    url = "memory:"
    record_bytes_max = RECORD_BYTES_MAX
    has_doorbell = True
    caveat: str | None = "it lives in memory, and is gone when the process ends"

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()
        self._bell: Pipe | None = None
        self._reading = threading.Lock()
        self._closed = False

    def open(self) -> None:
        """See `base.Log`."""
        self._check_open()
        if self._bell is None:
            self._bell = Pipe()
            with self._store.lock:
                self._store.bells.add(self._bell)

    def append(self, values: Sequence[bytes]) -> list[Future[int]]:
        """See `base.Log`."""
        futures: list[Future[int]] = [Future() for _ in values]
        if self._closed or self._bell is None:
            for future in futures:
                future.set_exception(LogClosed("the log is not open"))
            return futures
        store = self._store
        with store.lock:
            store.last_ms = max(store.last_ms, time.time_ns() // 1_000_000)
            for value, future in zip(values, futures, strict=True):
                if len(value) > self.record_bytes_max:
                    future.set_exception(too_large(value, self.record_bytes_max))
                    continue
                record = Record(store.end, store.last_ms, value)
                store.records.append(record)
                future.set_result(record.position)
            bells = list(store.bells)
        for bell in bells:
            bell.ring()
        return futures

    def tail(self) -> Future[int]:
        """See `base.Log`."""
        future: Future[int] = Future()
        if self._closed:
            future.set_exception(LogClosed("the log is closed"))
            return future
        with self._store.lock:
            future.set_result(self._store.end - 1)
        return future

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """See `base.Log`."""
        deadline = time.monotonic() + timeout_s
        with self._reading:  # `close` takes the bell away only when nobody looks at it
            while True:
                bell = self._open_bell()
                bell.silence()
                self._check_open()  # after it: a ring of `close` may just have been silenced
                batch = self._read(position, max_records)
                left = deadline - time.monotonic()
                if batch.records or left <= 0:
                    return batch
                select.select([bell.fileno()], [], [], left)

    def _read(self, position: int, max_records: int) -> Batch:
        store = self._store
        with store.lock:
            check_range(position, Bounds(store.first, store.end))
            start = position - store.first
            records = store.records[start : start + max_records]
        return Batch(records, position + len(records))

    def peek(self, position: int) -> Record | None:
        """See `base.Log`."""
        self._check_open()
        store = self._store
        with store.lock:
            if store.first <= position < store.end:
                return store.records[position - store.first]
            return None

    def look(self) -> MemoryLog:
        """See `base.Log`."""
        self._check_open()
        look = MemoryLog(self._store)
        look.open()
        return look

    def bounds(self) -> Bounds:
        """See `base.Log`."""
        self._check_open()
        with self._store.lock:
            return Bounds(self._store.first, self._store.end)

    def identity(self) -> Identity:
        """See `base.Log`."""
        self._check_open()
        return Identity("memory", self._store.log_id, "")

    def trim(self, position: int) -> None:
        """See `base.Log`."""
        self._check_open()
        store = self._store
        with store.lock:
            position = min(position, store.end)
            if position > store.first:
                del store.records[: position - store.first]
                store.first = position

    def doorbell(self) -> int | None:
        """See `base.Log`."""
        self._check_open()
        return None if self._bell is None else self._bell.fileno()

    def close(self) -> None:
        """See `base.Log`."""
        if self._closed:
            return
        self._closed = True
        bell = self._bell
        if bell is not None:
            with self._store.lock:
                self._store.bells.discard(bell)
            bell.ring()
            with self._reading:
                bell.close()

    def _open_bell(self) -> Pipe:
        self._check_open()
        if self._bell is None:
            raise LogClosed("the log is not open")
        return self._bell

    def _check_open(self) -> None:
        if self._closed:
            raise LogClosed("the log is closed")


def too_large(value: bytes, limit: int) -> RecordTooLarge:
    """The refusal of a value over the limit."""
    return RecordTooLarge(f"the record has {len(value)} bytes, the log takes {limit}")


def check_range(position: int, bounds: Bounds) -> None:
    """Refuse to read where the log holds nothing.

    Raises:
        Halt: `log_gap` or `log_rewound`.
    """
    if position < bounds.first:
        raise Halt(
            "log_gap",
            f"position {position} was trimmed, the log begins at {bounds.first}",
            "Give the node a data folder that has what was trimmed: a copy of another node's, for "
            "example",
        )
    if position > bounds.end:
        raise Halt(
            "log_rewound",
            f"position {position} is beyond the log, which ends at {bounds.end}",
            "The log lost records or was replaced by an older copy: restore it, delete nothing",
        )
