"""Checkpoints of one node: proposed now and then, compared with what others propose.

    ready --another's agrees--> ready
      |
      +--another's differs--> checking --own mark comes out--> ready, and proposes its own
                                 |
                                 +--it does not--> halted: diverged

While it is checking, nothing is acknowledged (I10): the mark is derived again from the log, in a
scratch file and a thread of its own; reads and apply go on. Where that cannot be done, a
checkpoint of another node that agrees ends the doubt, and the node asks for one by its own.

A forged checkpoint costs each node one derivation. After one that found the replica right, the
next waits until ten times its length has passed, and at least a minute: what differs meanwhile
is kept, and judged together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from clusterlite.core import codec
from clusterlite.core.checkpoint import AGREED, REFUTED, Checkpoint, is_due, rank
from clusterlite.core.event import Stamp
from clusterlite.core.hashing import MARK_EVERY
from clusterlite.core.registry import EntityRegistry
from clusterlite.errors import ClusterLiteError, Halt, NotServing
from clusterlite.log.base import Log
from clusterlite.node.engine import Engine
from clusterlite.node.machine import THIS_MACHINE, Machine, Running
from clusterlite.replica.applier import Applier
from clusterlite.replica.checkpoints import Met, covered, disputed, own_hash
from clusterlite.replica.database import open_reader
from clusterlite.replica.derive import Derived, delete_scratch, derive
from clusterlite.telemetry import get_logger

REST_S: Final = 60.0
"""The least between two derivations, after one that found the replica right."""

REST_FACTOR: Final = 10
LOOK_EVERY_S: Final = 0.05
"""Between two looks at whether anything is due: a tick of the engine is often shorter."""

RETRY_S: Final = 5.0
"""Between two tries to derive, and between two proposals of a node."""

_CHECKED: Final = "It goes on by itself once the log has shown which of the two is wrong"
_UNDERIVED: Final = (
    "It goes on by itself once that can be done, or a checkpoint of another node agrees; else "
    "stop the node and give it a copy of another node's folder, or say `clusterlite repair`, which "
    "sees whether the log has all that is needed"
)

_log = get_logger("clusterlite.node")


class Checkpoints:
    """Used in the engine's turn, but for the thread that derives.

    Args:
        log: of the node.
        applier: of its replica; its connection is used here before the engine starts, and by no
            other method.
        engine: told to stop acknowledging, to go on, or to halt.
        registry: operations that replace what happens at apply.
        replica: the file.
        node: the node's name.
        incarnation: of this start.
        machine: gives the clock, ids and a thread to derive on.
    """

    def __init__(
        self,
        log: Log,
        applier: Applier,
        engine: Engine,
        registry: EntityRegistry,
        replica: Path,
        node: str,
        incarnation: str,
        machine: Machine = THIS_MACHINE,
    ) -> None:
        self._log = log
        self._applier = applier
        self._engine = engine
        self._registry = registry
        self._replica = replica
        self._scratch = replica.with_name("scratch.db")
        self._node = node
        self._incarnation = incarnation
        self._machine = machine
        self._clock = machine.clock
        self._thread: Running | None = None
        self._closing = False
        self._dispute: Met | None = None
        self._failed = False
        self._derive_at = 0.0
        self._owed: int | None = None
        self._covered = 0
        self._seconded = -1
        self._begun: int | None = None
        self._since: float | None = None
        self._propose_at = 0.0
        self._look_at = 0.0
        self.verified = -1
        """The highest mark at which another node, or the log derived again, agreed."""
        self.reason: dict[str, str] | None = None
        """Why nothing is acknowledged, while the replica is in doubt."""
        self.refuted = 0
        """How many checkpoints were found to be wrong since the start."""

    def open(self, connection: apsw.Connection) -> None:
        """Take up what an earlier start left open, before the engine runs."""
        delete_scratch(self._scratch)
        self._covered = covered(connection)
        self._dispute = disputed(connection)
        if self._dispute is not None:
            self._doubt(self._dispute)

    def close(self) -> None:
        """Give up a derivation, and wait for its end."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()

    # What the log brings.

    def compare(self) -> None:
        """Look at the checkpoints of the batch just applied, before anybody is answered."""
        met, self._applier.met = self._applier.met, []
        for one in met:
            if one.verdict == AGREED:
                self._agreed(one)
            elif one.verdict == REFUTED:
                self._refuted(one)
            elif self._dispute is None or one.checkpoint.mark >= self._dispute.checkpoint.mark:
                self._dispute = one
        dispute = self._dispute
        if dispute is not None and self._engine.doubt is None and self._clock() >= self._derive_at:
            self._doubt(dispute)

    def _agreed(self, met: Met) -> None:
        mark = met.checkpoint.mark
        if mark > self._covered:
            self._covered = mark
            self._since = None
        own = met.checkpoint.incarnation == self._incarnation
        # Where nothing can be derived, another may wait for this very node's.
        if self._owed is not None and mark >= self._owed and (own or not self._failed):
            self._owed = None
        if own:
            return
        self.verified = max(self.verified, mark)
        self._seconded = max(self._seconded, mark)
        # Equal hashes at a later mark are equal at every earlier one.
        if self._failed and self._dispute is not None and mark >= self._dispute.checkpoint.mark:
            _log.info("checkpoint_agrees", node=met.checkpoint.node, position=mark)
            self._is_right(mark)

    def _refuted(self, met: Met) -> None:
        self.refuted += 1
        _log.warning(
            "checkpoint_refuted",
            position=met.position,
            mark=met.checkpoint.mark,
            node=met.checkpoint.node,
            incarnation=met.checkpoint.incarnation,
            detail="it differs from what the log gives, and is passed",
            cure=f"Look at the node {met.checkpoint.node}: clusterlite status, clusterlite verify",
        )

    def _doubt(self, dispute: Met, cure: str = _CHECKED, found: str = "") -> None:
        """Acknowledge nothing until it is known who is wrong."""
        position, checkpoint, _ = dispute
        detail = (
            f"the CHECKPOINT at {position}, of the node {checkpoint.node}, differs from this "
            f"replica at position {checkpoint.mark}; the log is read again to see which is "
            f"wrong{found}"
        )
        reason = {"reason": "checking", "detail": detail, "cure": cure}
        if reason != self.reason:
            _log.warning("checking", detail=detail, cure=cure)
        self.reason = reason
        self._engine.withhold(NotServing(f"{detail}. {cure}"))

    # Time and again.

    def advance(self, *, ready: bool) -> None:
        """Do what is due: derive, or propose.

        Args:
            ready: the node has come up.
        """
        engine = self._engine
        if self._closing or engine.follower is None or engine.is_over:
            return
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        if self._dispute is not None and self._thread is None and now >= self._derive_at:
            if engine.doubt is None:
                self._doubt(self._dispute)
            self._begin(self._dispute.checkpoint.mark)
        if ready or self._failed:
            self._propose(now)

    def _propose(self, now: float) -> None:
        newest = self._applier.committed.position // MARK_EVERY * MARK_EVERY
        if self._begun is None:
            self._begun = newest
        if newest < 0 or now < self._propose_at:
            return
        if self._owed is None:
            if newest <= self._covered or self._engine.doubt is not None or not self._has_news():
                return
            if self._since is None:
                self._since = now
            turn = rank(self._node, self._incarnation, self._covered)
            if not is_due(newest, self._covered, self._begun, turn, now - self._since):
                return
        self._propose_at = now + RETRY_S
        self._append(newest)

    def _has_news(self) -> bool:
        """Whether any event has written a row since the last checkpoint."""
        tables = self._applier.committed.tables.values()
        return any(table.written > self._covered for table in tables)

    def _append(self, mark: int) -> None:
        """Hand one to the log; whether it came there is seen when it is applied."""
        try:
            connection = open_reader(self._replica)
            try:
                own = own_hash(connection, mark)
            finally:
                connection.close()
        except apsw.Error as error:
            _log.warning("checkpoint_put_off", error=str(error))
            return
        if own is None:
            return
        checkpoint = Checkpoint(mark, own, self._node, self._incarnation)
        state, machine = self._applier.committed, self._machine
        stamp = Stamp(
            machine.new_id(), machine.timestamp(), state.cluster, self._node, state.position
        )
        self._log.append([codec.encode(stamp, "CHECKPOINT", "", checkpoint.to_json())])

    # Deriving.

    def _begin(self, mark: int) -> None:
        self._derive_at = self._clock() + RETRY_S
        try:
            self._thread = self._machine.start(lambda: self._derive(mark), "clusterlite-derive")
        except RuntimeError as error:  # no thread can be had now; it is tried again
            _log.warning("derive_put_off", error=str(error))

    def _derive(self, mark: int) -> None:
        """On a thread of its own."""
        begun = self._clock()
        found: Derived | Exception | None
        try:
            look = self._log.look()
            try:
                found = derive(
                    look, self._scratch, self._replica, self._registry, mark, lambda: self._closing
                )
            finally:
                look.close()
        except Exception as error:  # noqa: BLE001 - told on the engine's thread
            found = error
        took_s = self._clock() - begun
        self._engine.loop.post(lambda: self._ended(found, took_s))

    def _ended(self, found: Derived | Exception | None, took_s: float) -> None:
        self._thread = None
        dispute = self._dispute
        if found is None or dispute is None or self._engine.is_over:
            return
        if isinstance(found, Derived):
            self._derived(found, dispute, took_s)
        elif isinstance(found, ClusterLiteError | apsw.Error | OSError):
            if not self._failed:
                self._owed = dispute.checkpoint.mark
            self._failed = True
            if self._seconded >= dispute.checkpoint.mark:
                self._is_right(self._seconded)
                return
            detail = found.detail if isinstance(found, Halt) else str(found)
            self._doubt(dispute, _UNDERIVED, f". That cannot be done now: {detail}")
        else:
            _log.error("defect", exc_info=found)
            self._engine.fail(Halt("internal", repr(found), "This is a defect: report it"))

    def _derived(self, found: Derived, dispute: Met, took_s: float) -> None:
        if found.differs is not None:
            self._engine.fail(diverged(found, self._replica, self._log.url))
            return
        self._applier.derived = max(self._applier.derived, found.mark)
        self.verified = max(self.verified, found.mark)
        self._derive_at = self._clock() + max(REST_S, REST_FACTOR * took_s)
        self._owed = found.mark
        self._is_right(found.mark)
        if dispute.checkpoint.mark > found.mark:
            self._dispute = dispute  # it came meanwhile, and waits for the next one

    def _is_right(self, mark: int) -> None:
        dispute, self._dispute = self._dispute, None
        self._failed = False
        self._applier.settle(mark)
        self.reason = None
        if dispute is not None and dispute.checkpoint.mark <= mark:
            self._refuted(dispute)
        self._engine.resume()


def diverged(found: Derived, replica: Path, log: str) -> Halt:
    """The halt of a replica that is not what its log gives."""
    folder = replica.parent
    named = "" if log == f"file:{folder / 'log'}" else f" --log {log}"
    known = (
        f"up to position {found.equal} it is right"
        if found.equal >= 0
        else "no earlier mark is right"
    )
    differing = f"; what differs: {', '.join(found.found)}" if found.found else ""
    return Halt(
        "diverged",
        f"the replica {replica} is not what the log gives: the first position known to differ is "
        f"{found.first}, {known}{differing}",
        f"Stop the node, say `clusterlite repair {folder}{named}`, and start it again: it is "
        "rebuilt from the log",
    )
