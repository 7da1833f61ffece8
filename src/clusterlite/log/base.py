"""The log port: one ordered, durable sequence of records. Its docstrings are the contract.

Rules that hold for every adapter; `clusterlite.testing.log_contract` tries them all:

1. Positions start at 0, only grow, may have holes, and are never given twice.
2. What `append` acknowledged is durable and is read by every reader, in one order.
3. A failure says which of the two it is: never left this process, or may be written.
4. `read` leaves out nothing that the log still holds. What it cannot give it refuses loudly
   (`Halt`): it never skips, rewinds or starts anew by itself.
5. `append`, `tail`, `bounds`, `identity`, `peek` and `close` may be called from any thread.
   `read` belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, runtime_checkable

from clusterlite.errors import ClusterLiteError


class Record(NamedTuple):
    """One record of the log.

    Args:
        position: its place in the log, from 0.
        time_ms: the log's own time of the append, Unix milliseconds; never the producer's.
        value: the bytes as appended; empty where another producer wrote a null value.
    """

    position: int
    time_ms: int
    value: bytes


class Batch(NamedTuple):
    """What one `read` gave.

    Args:
        records: in order of position; empty where none came in time.
        next: the position to read from next. The adapter vouches that nothing stands between
            the last record (or the asked position) and `next`.
    """

    records: list[Record]
    next: int


class Bounds(NamedTuple):
    """The part of the log that is kept: `first <= position < end`; equal where it is empty."""

    first: int
    end: int


class Identity(NamedTuple):
    """What tells this log from another.

    Args:
        kind: `memory`, `file` or `kafka`.
        log_id: made with the log and never given twice: a topic id, a file's id. Empty where
            the broker has no topic ids.
        home: of the log: a Kafka cluster id, empty for the others.
    """

    kind: str
    log_id: str
    home: str


class Append(Protocol):
    """What becomes of an appended value; a `Future[int]` is one."""

    def done(self) -> bool:
        """Whether it is known."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Why the value has no position, None where it has one; waits."""

    def result(self, timeout: float | None = None) -> int:
        """The position; waits, and raises what `exception` gives."""

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        """Call it with this once it is known, on whichever thread."""


class Settled:
    """What became of a value whose append has ended already.

    Made in a tenth of a `Future`'s time: it has no lock to wait on.

    Args:
        outcome: the value's position, or why it has none.
    """

    __slots__ = ("_outcome",)

    def __init__(self, outcome: int | ClusterLiteError) -> None:
        self._outcome = outcome

    def done(self) -> bool:
        """It is."""
        return True

    def exception(self, timeout: float | None = None) -> ClusterLiteError | None:  # noqa: ARG002
        """Why the value has no position, None where it has one."""
        return None if isinstance(self._outcome, int) else self._outcome

    def result(self, timeout: float | None = None) -> int:  # noqa: ARG002
        """The position.

        Raises:
            ClusterLiteError: the value has none.
        """
        if isinstance(self._outcome, int):
            return self._outcome
        raise self._outcome

    def add_done_callback(self, call: Callable[[Settled], object]) -> None:
        """Call it now."""
        call(self)


class Look(Protocol):
    """The reading half of the port. Making one connects; it belongs to one thread."""

    url: str
    """As the operator wrote it, without secrets."""

    def bounds(self) -> Bounds:
        """As `Log.bounds`."""

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """As `Log.read`."""

    def close(self) -> None:
        """Let go of everything; idempotent."""


@runtime_checkable
class Log(Protocol):
    """The port. Constructing an adapter does no I/O; `open` does."""

    url: str
    """As the operator wrote it, without secrets."""

    record_bytes_max: int
    """The largest value that `append` takes, in bytes."""

    has_doorbell: bool
    """Whether `doorbell` gives a descriptor once the log is open."""

    caveat: str | None
    """What is not fault-tolerant about this log, for the banner; None where nothing is."""

    def open(self) -> None:
        """Connect, create the log where it does not exist, and check its settings.

        Raises:
            ConfigError: the log exists and is not usable (three partitions, say).
            FolderInUse: a file that another kind of process holds.
            Halt: the log is damaged or is not the one that it was.
            LogUnavailable: it cannot be reached now; `open` may be called again.
        """

    def append(self, values: Sequence[bytes]) -> Sequence[Append]:
        """Hand the values over, in order, as one group.

        Never raises for a fault of the log; each value has a future of its own. Values of one
        call stand in the log in the order given, records of others possibly between them.

        Args:
            values: at least one.

        Returns:
            A future for each value: its position once it is durable. It fails with
            `LogUnavailable`, `RecordTooLarge` or `LogClosed` where it never left this process,
            which is known when this returns, and with `AppendUnknown` where it may be written.
            What nobody waits for, by a callback or for a result, may become known a moment
            late.
        """

    def tail(self) -> Future[int]:
        """A position that is at least every position acknowledged before the call, to anyone.

        Linearizable: asked of the log itself, never of something remembered. -1 where the log
        never held a record. Fails as `append` does.
        """

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """Records in order, from the first one at or after `position`.

        Waits up to `timeout_s` for the first record, and never for more than are there.

        Raises:
            Halt: `log_gap` where records at or after `position` were trimmed; `log_rewound`
                where the log ends before `position`; `log_corrupt` where it cannot be read.
            LogUnavailable: it cannot be reached now; calling again goes on where it was.
            LogClosed: `close` was called.
        """

    def peek(self, position: int) -> Record | None:
        """The record at exactly `position`, None where the log holds none there.

        Over a connection of its own, so that it neither waits behind `read` nor moves it.

        Raises:
            LogUnavailable, LogClosed: as `read`.
        """

    def look(self) -> Look:
        """Another reader of the same log, over connections of its own; the caller closes it.

        Raises:
            LogUnavailable, LogClosed: as `read`.
        """

    def bounds(self) -> Bounds:
        """The oldest kept position and the one past the newest.

        Raises:
            LogUnavailable, LogClosed: as `read`.
        """

    def identity(self) -> Identity:
        """What tells this log from another, asked of the log itself and not remembered.

        Raises:
            LogUnavailable, LogClosed: as `read`.
        """

    def trim(self, position: int) -> None:
        """Drop every record before `position`. The end never moves.

        Raises:
            LogUnavailable, LogClosed: as `read`.
        """

    def doorbell(self) -> int | None:
        """A file descriptor that becomes readable when there may be something new to read.

        None where the adapter has none (`has_doorbell` is False): then `read` with a timeout is
        the way to wait, and a thread of the reader's own is needed. `read` empties the doorbell.
        """

    def close(self) -> None:
        """Let go of everything. A blocked `read` in another thread ends with `LogClosed`.

        Idempotent. Appends without an acknowledgement fail as `AppendUnknown`.
        """
