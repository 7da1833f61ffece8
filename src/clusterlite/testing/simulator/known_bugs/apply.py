"""Known bugs of apply: what the replica makes of the log."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import apsw

from clusterlite.core import codec
from clusterlite.core.checkpoint import AGREED
from clusterlite.core.outcome import NEVER, REJECTED
from clusterlite.errors import Halt
from clusterlite.log.base import Batch
from clusterlite.node import follower, runtime
from clusterlite.replica import applier, changes, checkpoints, derive, groups
from clusterlite.replica.changes import Rejection
from clusterlite.replica.derive import Derived
from clusterlite.testing.simulator.known_bugs.switch import Switch
from clusterlite.testing.simulator.log import SimulatedLog


def dedupe_off(switch: Switch) -> None:
    """An event id that has an outcome is applied again."""
    switch.set(applier, "find_outcome", lambda *_: None)


def reset_to_latest(switch: Switch) -> None:
    """A follower begins at the log's end, as with `auto.offset.reset=latest`."""

    def skip(self: Any, log: Any, *rest: Any) -> None:
        begin(self, log, *rest)
        self.next = log.bounds().end

    begin = switch.set(follower.Follower, "__init__", skip)


def failed_batch_skipped(switch: Switch) -> None:
    """Records that could not be applied are passed over."""

    def step(self: Any, timeout_s: float) -> Any:
        batch = self._log.read(self.next, follower.BATCH_MAX, timeout_s)
        self.next = batch.next
        try:
            done = self._applier.apply(batch.records, self._wanted) if batch.records else None
        except apsw.Error:
            done = None
        state = self._applier.committed
        self.seen = follower.Seen(state.position, state.record_hash)
        return done

    switch.set(follower.Follower, "step", step)


def position_outside_the_transaction(switch: Switch) -> None:
    """Rows are committed first, their position in a transaction of its own."""

    def split(self: Any, before: int, written: Any) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        finish(self, before, written)

    finish = switch.set(applier.Applier, "_finish", split)


def clock_in_apply(switch: Switch) -> None:
    """The time of this machine goes into what is applied."""

    def timed(running: bytes, *rest: Any) -> Any:
        return advance(running + str(time.time_ns()).encode(), *rest)

    advance = switch.set(applier, "advance", timed)


def preconditions_not_judged(switch: Switch) -> None:
    """`if` is not looked at."""
    switch.set(changes.Changes, "check_condition", lambda self, change: None)


def fence_forgotten(switch: Switch) -> None:
    """A FENCE leaves no outcome, so its event may still come."""

    def without(connection: Any, outcome: Any, floor: int) -> Any:
        return outcome.verdict == NEVER or store(connection, outcome, floor)

    store = switch.set(applier, "store_outcome", without)


def patch_replaces(switch: Switch) -> None:
    """A PATCH is applied as the whole row."""

    def as_update(value: bytes, position: int) -> Any:
        return decode(value.replace(b'"operation":"PATCH"', b'"operation":"UPDATE"'), position)

    decode = switch.set(codec, "decode", as_update)


def transaction_keeps_its_first_change(switch: Switch) -> None:
    """A transaction whose second change fails keeps the first."""

    def transaction(self: Any, event: Any, position: int) -> Any:
        try:
            return whole(self, event, position)
        except Rejection:
            self._connection.execute("RELEASE one")
            self._connection.execute("SAVEPOINT one")
            raise

    whole = switch.set(applier.Applier, "_transaction", transaction)


def group_loses_its_savepoint(switch: Switch) -> None:
    """A group that SQLite refuses keeps what it had written, and is applied again."""

    def insert(self: Any, connection: Any) -> None:
        try:
            whole(self, connection)
        except apsw.ConstraintError:
            connection.execute("RELEASE grouped")
            connection.execute("SAVEPOINT grouped")
            raise

    whole = switch.set(groups.InsertGroup, "insert", insert)


def equal_content_keeps_its_version(switch: Switch) -> None:
    """An update that changes no value is not written, so the version stays."""

    def put(self: Any, key: str, values: Any, *, exists: bool) -> None:
        found = self._changes._find(self._table, key)
        if found is None or found.values != values:
            write(self, key, values, exists=exists)

    write = switch.set(changes._Rows, "put", put)


def delete_of_nothing_is_fine(switch: Switch) -> None:
    """Existence is judged as the Go program does: not at all."""
    switch.set(changes.Changes, "_judge_existence", staticmethod(lambda *_, **__: None))


def window_forgotten(switch: Switch) -> None:
    """A record from before the window is applied as if it were new."""

    def judge(self: Any, record: Any, event: Any) -> Any:
        if event is not None and event.ours:
            event = event._replace(after=max(event.after, self.state.floor))
        return judged(self, record, event)

    judged = switch.set(applier.Applier, "_judge", judge)


def floor_counted_by_each_node(switch: Switch) -> None:
    """The window's floor moves by what this process has applied, not by the log alone."""
    marks: Counter[int] = Counter()

    def move(connection: Any, state: Any) -> None:
        marks[id(connection)] += 1
        if marks[id(connection)] > 2:
            moved(connection, state)

    moved = switch.set(applier, "move_floor", move)


def rejection_uses_no_id(switch: Switch) -> None:
    """A rejected event leaves no outcome, so that a retry is judged anew."""

    def without(connection: Any, outcome: Any, floor: int) -> Any:
        return outcome.verdict == REJECTED or store(connection, outcome, floor)

    store = switch.set(applier, "store_outcome", without)


def outcome_overwritten(switch: Switch) -> None:
    """A foreign record that bears a known event id replaces that event's outcome."""

    def anyhow(connection: Any, outcome: Any, floor: int) -> Any:
        return store(connection, outcome, outcome.position)

    store = switch.set(applier, "store_outcome", anyhow)


def newer_format_passed(switch: Switch) -> None:
    """A record of a newer build is passed as if it were somebody else's."""

    def passed(self: Any, event: Any, position: int) -> Any:
        try:
            return judged(self, event, position)
        except Halt:
            return "foreign"

    judged = switch.set(applier.Applier, "_judge_envelope", passed)


def broken_bytes_halt(switch: Switch) -> None:
    """A record that cannot be read stops the node."""

    def strictly(value: bytes, position: int) -> Any:
        event = decode(value, position)
        if event is None:
            raise Halt("internal", f"the record at {position} cannot be read", "none: it is a bug")
        return event

    decode = switch.set(codec, "decode", strictly)


def wrong_replica_goes_on(switch: Switch) -> None:
    """A checkpoint is taken to agree, whatever it says."""
    switch.set(checkpoints, "judge", lambda *_: AGREED)


def forged_checkpoint_believed(switch: Switch) -> None:
    """A replica that meets another's checkpoint that differs takes itself to be wrong."""
    switch.set(
        derive, "_compared", lambda _scratch, _replica, mark, *_: Derived(mark, -1, mark, mark)
    )


def two_partitions(switch: Switch) -> None:
    """The log has two partitions, and each fetch gives one's records before the other's."""

    def read(self: Any, position: int, max_records: int, timeout_s: float) -> Batch:
        records, following = fetch(self, position, max_records, timeout_s)
        parted = sorted(records, key=lambda record: record.position % 2)
        mixed = [
            record._replace(value=other.value)
            for record, other in zip(records, parted, strict=True)
        ]
        return Batch(mixed, following)

    fetch = switch.set(SimulatedLog, "read", read)


def gap_accepted(switch: Switch) -> None:
    """What was trimmed is passed over: a node that is behind begins where the log does."""

    def known(log: Any, *rest: Any) -> Any:
        try:
            return check(log, *rest)
        except Halt as halt:
            if halt.reason == "log_gap":
                return log.identity()
            raise

    def begin(self: Any, log: Any, *rest: Any) -> None:
        begun(self, log, *rest)
        self.next = max(self.next, log.bounds().first)

    check = switch.set(runtime, "check_identity", known)
    begun = switch.set(follower.Follower, "__init__", begin)
