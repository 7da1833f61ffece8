"""The judgement's own look at the topic: up to its end, whatever stands there, and no longer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from clusterlite.testing.faults import topic
from clusterlite.testing.faults.topic import read_topic


def message(offset: int, code: int | None = None) -> Any:
    """A record; with a code, an event."""
    error = None if code is None else KafkaError(code)
    return SimpleNamespace(
        error=lambda: error,
        offset=lambda: offset,
        timestamp=lambda: (1, 1000 + offset),
        value=lambda: b"%d" % offset,
    )


def brokers(patch: pytest.MonkeyPatch, end: int, batches: list[list[Any]]) -> list[str]:
    """A consumer that is given these; what became of it."""
    became: list[str] = []
    rest: list[Any] = []

    def poll(_wait_s: float) -> Any:
        if not batches:
            return None
        first, *rest[:] = batches.pop(0)
        return first

    def consumer(settings: dict[str, Any]) -> Any:
        assert settings["enable.partition.eof"]
        return SimpleNamespace(
            get_watermark_offsets=lambda *_, **__: (0, end),
            assign=lambda _: None,
            poll=poll,
            consume=lambda *_: rest,
            close=lambda: became.append("closed"),
        )

    patch.setattr(topic, "Consumer", consumer)
    return became


def offsets() -> list[int]:
    return [record.position for record in read_topic("b:9", "events")]


def test_all_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    became = brokers(monkeypatch, 3, [[message(0)], [message(1), message(2)]])
    first, *_ = read_topic("b:9", "events")
    assert (first.position, first.time_ms, first.value) == (0, 1000, b"0")
    assert became == ["closed"]


def test_a_hole_at_the_end_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    eof = message(4, KafkaError._PARTITION_EOF)
    brokers(monkeypatch, 4, [[message(0), message(1)], [eof]])
    assert offsets() == [0, 1]


def test_an_end_that_a_broker_takes_for_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    early = message(1, KafkaError._PARTITION_EOF)
    brokers(monkeypatch, 2, [[message(0), early], [message(1)]])
    assert offsets() == [0, 1]


def test_an_empty_topic_has_no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers(monkeypatch, 0, [])
    assert offsets() == []


def test_a_topic_that_gives_nothing_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    became = brokers(monkeypatch, 3, [[message(0)]])
    with pytest.raises(RuntimeError, match="events ends at 3, and nothing came after 1 for 60 s"):
        offsets()
    assert became == ["closed"]


def test_an_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers(monkeypatch, 3, [[message(0, KafkaError.TOPIC_AUTHORIZATION_FAILED)]])
    with pytest.raises(RuntimeError, match="TOPIC_AUTHORIZATION_FAILED"):
        offsets()
