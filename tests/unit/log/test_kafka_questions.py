"""What is found out over the second connection to Kafka, and when it is made anew."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from clusterlite.errors import Halt, LogUnavailable
from clusterlite.log import kafka_reader
from clusterlite.log.base import Bounds
from clusterlite.log.kafka_reader import FAILURES_MAX, KafkaFollower, KafkaQuestions


class Stuck:
    """A client that finds no leader for as long as it lives; the next one does."""

    made: list[Stuck]

    def __init__(self, _config: dict[str, Any]) -> None:
        self.closed = False
        self._finds = bool(Stuck.made)
        Stuck.made.append(self)

    def poll(self, _timeout_s: float) -> None:
        return None

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        if not self._finds:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return (0, 7)

    def close(self) -> None:
        self.closed = True


def test_questions_that_fail_again_and_again_are_asked_over_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stuck, "made", [], raising=False)
    monkeypatch.setattr(kafka_reader, "Consumer", Stuck)
    questions = KafkaQuestions({}, "events")
    for _ in range(FAILURES_MAX):
        with pytest.raises(LogUnavailable):
            questions.bounds()
    assert not Stuck.made[0].closed
    assert questions.bounds() == (0, 7)
    assert [client.closed for client in Stuck.made] == [True, False]
    for _ in range(2 * FAILURES_MAX):
        questions.bounds()
    assert len(Stuck.made) == 2


@pytest.mark.parametrize(("end", "rewound"), [(4, True), (9, False), (12, False)])
def test_a_follower_that_was_cut_off_tells_a_log_that_ends_before_its_place(
    monkeypatch: pytest.MonkeyPatch, end: int, rewound: bool
) -> None:
    monkeypatch.setattr(Stuck, "made", [], raising=False)
    monkeypatch.setattr(kafka_reader, "Consumer", Stuck)
    follower = KafkaFollower({}, "events", lambda _timeout_s: Bounds(0, end))
    follower._at = 9
    follower._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    if rewound:
        with pytest.raises(Halt, match="log_rewound"):
            follower._check_reachable()
    else:
        follower._check_reachable()
