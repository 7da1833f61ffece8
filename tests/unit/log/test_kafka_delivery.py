"""What becomes of a record that was given to the producer: known once, to whoever waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError

from clusterlite.errors import AppendUnknown
from clusterlite.log.kafka_delivery import Delivery, Desk, PositionNotTold


class Report:
    """What the client gives beside the error."""

    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def offset(self) -> int | None:
        return self._offset


def report(delivery: Delivery, offset: int | None, error: KafkaError | None = None) -> None:
    message: Any = Report(offset)
    delivery.reported(error, message)


@pytest.fixture
def failures() -> list[KafkaError]:
    return []


@pytest.fixture
def desk(failures: list[KafkaError]) -> Desk:
    return Desk("events", failures.append)


def test_a_report_gives_the_position_to_all_who_wait(desk: Desk) -> None:
    delivery = Delivery(desk)
    told: list[int] = []
    delivery.add_done_callback(lambda done: told.append(done.result()))
    waiter = threading.Thread(target=lambda: told.append(delivery.result(10)))
    waiter.start()
    report(delivery, 7)
    waiter.join(10)
    delivery.add_done_callback(lambda done: told.append(done.result()))
    assert (told, delivery.exception()) == ([7, 7, 7], None)


def test_somebody_waits_until_it_is_known_and_no_longer(desk: Desk) -> None:
    first, second = Delivery(desk), Delivery(desk)
    assert not desk.busy
    first.add_done_callback(lambda _: None)
    assert desk.busy
    report(second, 1)
    assert desk.busy
    report(first, 0)
    assert not desk.busy


def test_a_rest_ends_when_somebody_waits(desk: Desk) -> None:
    resting = threading.Thread(target=desk.rest, args=(60.0,))
    resting.start()
    Delivery(desk).add_done_callback(lambda _: None)
    resting.join(10)
    assert not resting.is_alive()


def test_a_failed_record_is_unknown_and_told_to_the_gate(
    desk: Desk, failures: list[KafkaError]
) -> None:
    delivery = Delivery(desk)
    report(delivery, None, KafkaError(KafkaError._MSG_TIMED_OUT))
    with pytest.raises(AppendUnknown, match="no acknowledgement in time"):
        delivery.result()
    assert [error.code() for error in failures] == [KafkaError._MSG_TIMED_OUT]


@pytest.mark.parametrize("offset", [None, -1001])
def test_a_record_whose_position_is_not_told_may_be_anywhere(
    desk: Desk, failures: list[KafkaError], offset: int | None
) -> None:
    delivery = Delivery(desk)
    report(delivery, offset)
    assert isinstance(delivery.exception(), PositionNotTold)
    assert failures == []


def test_the_first_that_is_known_stays(desk: Desk) -> None:
    delivery = Delivery(desk)
    delivery.settle(3)
    report(delivery, 4)
    assert delivery.result() == 3


def test_a_wait_has_an_end(desk: Desk) -> None:
    with pytest.raises(TimeoutError):
        Delivery(desk).result(0.01)
