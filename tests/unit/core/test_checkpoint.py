"""What a replica makes of a checkpoint, and when a node proposes one."""

from __future__ import annotations

import pytest

from clusterlite.core.checkpoint import (
    AGREED,
    DISPUTED,
    EVERY_POSITIONS,
    EVERY_S,
    PASSED,
    RANK_S,
    RANKS,
    REFUTED,
    Checkpoint,
    is_due,
    judge,
    rank,
)
from clusterlite.core.hashing import MARK_EVERY

SAID = bytes(range(32))
OTHER = bytes(32)


@pytest.mark.parametrize(
    ("own", "derived", "verdict"),
    [
        (None, -1, PASSED),
        (None, 1 << 40, PASSED),
        (SAID, -1, AGREED),
        (SAID, 1 << 40, AGREED),
        (OTHER, -1, DISPUTED),
        (OTHER, 1024, DISPUTED),
        (OTHER, 2048, REFUTED),
        (OTHER, 3072, REFUTED),
    ],
)
def test_a_difference_is_judged_once(own: bytes | None, derived: int, verdict: str) -> None:
    assert judge(Checkpoint(2048, SAID), own, derived) == verdict


@pytest.mark.parametrize(
    ("newest", "covered", "begun", "turn", "waited_s", "due"),
    [
        (0, 0, 0, 0, 1e9, False),
        (1024, 1024, 0, 0, 1e9, False),
        (1024, 2048, 0, 0, 1e9, False),
        (1024, 0, 0, 0, EVERY_S, True),
        (1024, 0, 0, 1, EVERY_S, False),
        (1024, 0, 0, 1, EVERY_S + RANK_S, True),
        (EVERY_POSITIONS, 0, 0, 0, 0.0, True),
        (EVERY_POSITIONS, 0, 0, 1, 0.0, False),
        (EVERY_POSITIONS + MARK_EVERY, 0, 0, 1, 0.0, True),
        (EVERY_POSITIONS, 0, 1024, 0, 0.0, False),
    ],
)
def test_a_checkpoint_is_due_by_positions_or_time_after_the_turn_of_others(
    newest: int, covered: int, begun: int, turn: int, waited_s: float, due: bool
) -> None:
    assert is_due(newest, covered, begun, turn, waited_s) is due


def test_turns_change_from_mark_to_mark() -> None:
    turns = {rank("a", "i", covered) for covered in range(0, 200 * MARK_EVERY, MARK_EVERY)}
    assert turns == set(range(RANKS))
