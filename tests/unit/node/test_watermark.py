"""The watermark: everybody who waits for a position is told once, at the right time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clusterlite.errors import Behind
from clusterlite.node.answers import Answer, Reached
from clusterlite.node.watermark import Watermark

NEVER = float("inf")


class Told:
    """What each waiter was told, by name."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    def reply(self, name: str) -> Callable[[Answer], None]:
        def told(answer: Answer) -> None:
            assert name not in self.answers, f"{name} was told twice"
            self.answers[name] = answer

        return told


@pytest.fixture
def watermark() -> Watermark:
    return Watermark()


@pytest.fixture
def told() -> Told:
    return Told()


def test_those_who_wait_for_a_position_up_to_it_are_told(watermark: Watermark, told: Told) -> None:
    for position in (7, 3, 5, 5):
        watermark.wait(position, NEVER, told.reply(f"{position}/{len(watermark)}"))
    watermark.reached(5)
    assert told.answers == dict.fromkeys(["3/1", "5/2", "5/3"], Reached(5))
    assert len(watermark) == 1
    watermark.reached(9)
    assert told.answers["7/0"] == Reached(9)
    assert len(watermark) == 0


def test_nobody_is_told_before_the_position(watermark: Watermark, told: Told) -> None:
    watermark.wait(4, NEVER, told.reply("four"))
    watermark.reached(3)
    assert told.answers == {}


def test_after_the_deadline_a_waiter_is_told_where_this_node_is(
    watermark: Watermark, told: Told
) -> None:
    watermark.wait(8, 10.0, told.reply("early"))
    watermark.wait(6, 20.0, told.reply("late"))
    watermark.expire(9.9, 5)
    assert told.answers == {}
    watermark.expire(10.0, 5)
    assert told.answers.keys() == {"early"}
    assert isinstance(told.answers["early"], Behind)
    assert "at position 5 and 8 was asked for" in str(told.answers["early"])


def test_those_who_are_left_after_an_expiry_are_still_told_in_order(
    watermark: Watermark, told: Told
) -> None:
    for position, deadline in ((1, 9.0), (2, 1.0), (3, 9.0), (4, 1.0), (5, 9.0)):
        watermark.wait(position, deadline, told.reply(str(position)))
    watermark.expire(1.0, 0)
    watermark.reached(3)
    assert {name for name, answer in told.answers.items() if answer == Reached(3)} == {"1", "3"}
    assert len(watermark) == 1
