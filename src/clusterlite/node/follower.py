"""The follower: reads the log from the replica's position and applies what it reads.

It owns the applier, and so the only write connection. `step` is called by one thread: the
engine's where the log has a doorbell, else a thread of its own (`FollowerThread`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container
from typing import Final, NamedTuple

import apsw

from clusterlite.core.outcome import Applied
from clusterlite.errors import ClusterLiteError, ConfigError, Halt, LogClosed, LogError
from clusterlite.log.base import Log
from clusterlite.replica.applier import Applier, HaltedBatch

BATCH_MAX: Final = 1_000
"""Records a transaction: bounds memory, and how long the thread does nothing else."""

FEW: Final = 100
"""Records of a batch that are worth a wait for more."""

GATHER_S: Final = 0.002
"""How long a replica lets records gather that others wrote: each batch has its own costs."""

RETRY_S: Final = 0.5
_POLL_S: Final = 0.5


_DOUBTFUL: Final = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.ProtocolError,
)
"""Errors of SQLite that speak of the file; any other that gets here is a defect of ours."""


class Seen(NamedTuple):
    """The last record applied: what recognises the log."""

    position: int
    record_hash: bytes


class Strained(ClusterLiteError):
    """The machine lacks something (space, memory); nothing was committed; it is tried again.

    Args:
        detail: what was found.
        cure: what an operator does about it.
    """

    code = "strained"

    def __init__(self, detail: str, cure: str) -> None:
        super().__init__(f"{detail}. {cure}")
        self.detail = detail
        self.cure = cure


class Follower:
    """One replica on its log.

    Args:
        log: opened.
        applier: of the replica.
        wanted: event ids that somebody waits for.
    """

    def __init__(self, log: Log, applier: Applier, wanted: Container[str]) -> None:
        self._log = log
        self._applier = applier
        self._wanted = wanted
        self.next = applier.committed.position + 1
        self.took = 0
        """Records of the last batch."""
        self.seen = Seen(applier.committed.position, applier.committed.record_hash)

    def step(self, timeout_s: float) -> list[Applied] | None:
        """Read and apply one batch.

        Returns:
            What was waited for; None where nothing was read.

        Raises:
            HaltedBatch, Halt: the replica must not go on.
            LogError: the log cannot be read now.
            Strained: the machine lacks something; the same records come again.
        """
        try:
            held = self._applier.wal.held()
        except apsw.Error as error:
            raise classified(error) from error
        if held is not None:
            raise Strained(
                f"the replica cannot be written: {held}",
                "End that program, or its transaction; it goes on by itself",
            )
        batch = self._log.read(self.next, BATCH_MAX, timeout_s)
        self.took = len(batch.records)
        if not batch.records:
            self.next = batch.next
            return None
        try:
            done = self._applier.apply(batch.records, self._wanted)
        except apsw.Error as error:
            raise classified(error) from error
        finally:
            state = self._applier.committed
            self.seen = Seen(state.position, state.record_hash)
            # An error may come after the commit stood: such records are not to come again.
            self.next = max(self.next, state.position + 1)
        self.next = batch.next
        return done


def classified(error: apsw.Error) -> ClusterLiteError:
    """The environment's fault: wait and try again, or doubt the file and stop."""
    found = f"the replica cannot be written: {error}"
    if isinstance(error, apsw.FullError) or _index_is_full(error):
        return Strained(found, "Make room on the disk of the data folder; it goes on by itself")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Strained(found, "End whatever else writes to its file; it goes on by itself")
    if isinstance(error, apsw.NoMemError):
        return Strained(found, "Give the machine more memory; it goes on by itself")
    if not isinstance(error, _DOUBTFUL):
        return Halt("internal", f"SQLite refused: {error!r}", "This is a defect: report it")
    corrupt = isinstance(error, apsw.CorruptError | apsw.NotADBError)
    return Halt(
        "replica_corrupt" if corrupt else "replica_io",
        f"the replica cannot be read or written: {error}",
        "Look at the disk, then start the node again: it checks the file before it serves",
    )


def _index_is_full(error: apsw.Error) -> bool:
    """The index of the WAL did not grow: SQLite says I/O error where the disk is full."""
    return getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


class FollowerThread(threading.Thread):
    """Steps a follower whose log has no doorbell, and hands each batch over.

    Args:
        make: opens the log and gives the follower; tried again while the log is unreachable.
        post: runs a function on the engine's thread.
        applied: told what was waited for, on this thread.
        failed: told why nothing was applied, on the engine's thread; None once it goes on.
        awaited: whether anybody waits for what is applied next.
    """

    def __init__(
        self,
        make: Callable[[], Follower],
        post: Callable[[Callable[[], None]], bool],
        applied: Callable[[list[Applied]], None],
        failed: Callable[[ClusterLiteError | None], None],
        awaited: Callable[[], bool],
    ) -> None:
        super().__init__(name="clusterlite-follower", daemon=True)
        self._make = make
        self._post = post
        self._applied = applied
        self._failed = failed
        self._awaited = awaited
        self._hurry = threading.Event()
        self._closing = threading.Event()

    def hurry(self) -> None:
        """Somebody waits now."""
        self._hurry.set()

    def close(self) -> None:
        """Ask the thread to end; the log's `close` wakes it."""
        self._closing.set()

    def run(self) -> None:
        """Follow until closed or halted."""
        try:
            self._follow()
        except BaseException as error:
            self._tell(Halt("internal", repr(error), "This is a defect: report it"))
            raise

    def _follow(self) -> None:
        follower: Follower | None = None
        troubled = False
        while not self._closing.is_set():
            try:
                follower = follower or self._make()
                if self._closing.is_set():
                    return
                done = follower.step(_POLL_S)
            except LogClosed:
                return
            except (Halt, ConfigError) as error:
                self._halt(error)
                return
            except (LogError, Strained) as error:
                troubled = True
                self._tell(error)
                self._closing.wait(RETRY_S)
                continue
            if troubled:
                troubled = False
                self._tell(None)
            if done is not None:
                self._applied(done)
                if not done and follower.took < FEW:
                    self._gather()

    def _gather(self) -> None:
        self._hurry.clear()
        if not self._awaited():
            self._hurry.wait(GATHER_S)

    def _tell(self, error: ClusterLiteError | None) -> None:
        self._post(lambda: self._failed(error))

    def _halt(self, error: Halt | ConfigError) -> None:
        try:
            if isinstance(error, HaltedBatch):
                self._applied(error.done)
        finally:
            self._tell(error)
