"""Known bugs: each changes one line of product behaviour in this process, until undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import apsw
import pytest

from clusterlite.core import codec
from clusterlite.core.outcome import NEVER
from clusterlite.errors import AppendUnknown
from clusterlite.node import engine, follower, runtime, writes
from clusterlite.node.answers import Reached
from clusterlite.replica import applier, changes

Patch = pytest.MonkeyPatch


def dedupe_off(patch: Patch) -> None:
    patch.setattr(applier, "find_outcome", lambda *_: None)


def reset_to_latest(patch: Patch) -> None:
    begin = follower.Follower.__init__

    def skip(self: Any, log: Any, *rest: Any) -> None:
        begin(self, log, *rest)
        self.next = log.bounds().end

    patch.setattr(follower.Follower, "__init__", skip)


def skips_a_failed_batch(patch: Patch) -> None:
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

    patch.setattr(follower.Follower, "step", step)


def position_outside_the_transaction(patch: Patch) -> None:
    finish = applier.Applier._finish

    def split(self: Any, before: int, written: Any) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        finish(self, before, written)

    patch.setattr(applier.Applier, "_finish", split)


def clock_in_apply(patch: Patch) -> None:
    import time

    advance = applier.advance
    patch.setattr(
        applier,
        "advance",
        lambda hash_, *rest: advance(hash_ + str(time.time_ns()).encode(), *rest),
    )


def strong_read_without_its_barrier(patch: Patch) -> None:
    patch.setattr(
        engine.Engine,
        "await_tail",
        lambda self, deadline, reply: reply(Reached(self.seen.position)),
    )


def token_is_not_waited_for(patch: Patch) -> None:
    patch.setattr(
        engine.Engine,
        "await_position",
        lambda self, position, deadline, reply: reply(Reached(position)),
    )


def unknown_told_as_not_written(patch: Patch) -> None:
    patch.setattr(writes, "_NEVER_APPENDED", (*writes._NEVER_APPENDED, AppendUnknown))


def preconditions_are_not_judged(patch: Patch) -> None:
    patch.setattr(changes.Changes, "check_condition", lambda self, change: None)


def fence_is_forgotten(patch: Patch) -> None:
    store = applier.store_outcome
    patch.setattr(
        applier,
        "store_outcome",
        lambda connection, outcome, floor: (
            outcome.verdict == NEVER or store(connection, outcome, floor)
        ),
    )


def identity_is_not_checked(patch: Patch) -> None:
    patch.setattr(runtime, "check_identity", lambda log, known, seen: log.identity())


def patch_replaces(patch: Patch) -> None:
    decode = codec.decode

    def as_update(value: bytes, position: int) -> Any:
        return decode(value.replace(b'"operation":"PATCH"', b'"operation":"UPDATE"'), position)

    patch.setattr(codec, "decode", as_update)


KNOWN_BUGS: Final[dict[str, Callable[[Patch], None]]] = {
    bug.__name__: bug
    for bug in (
        dedupe_off,
        reset_to_latest,
        skips_a_failed_batch,
        position_outside_the_transaction,
        clock_in_apply,
        strong_read_without_its_barrier,
        token_is_not_waited_for,
        unknown_told_as_not_written,
        preconditions_are_not_judged,
        fence_is_forgotten,
        identity_is_not_checked,
        patch_replaces,
    )
}
