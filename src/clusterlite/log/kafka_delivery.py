"""What becomes of each record that was given to the producer.

A report that nobody waits for may be late: it is served together with many others. Serving each
as it comes would wake a thread for every batch, just when the follower has it to apply.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, Message

from clusterlite.errors import AppendUnknown, ClusterLiteError
from clusterlite.log.kafka_errors import plainly

LATE_S: Final = 0.03
"""How late a report may be that nobody waits for, while others are under way."""

IDLE_S: Final = 0.1
"""How late the first one may be, and a probe."""


class PositionNotTold(AppendUnknown):
    """Written, but the report of a retry that the broker knew already lacks the position."""


class Desk:
    """Where those wait who want to know: deliveries of one producer share it.

    Args:
        topic: its name, for errors.
        failed: told of each record that the broker did not take.
    """

    def __init__(self, topic: str, failed: Callable[[KafkaError], None]) -> None:
        self.topic = topic
        self.failed = failed
        self.lock = threading.Lock()
        self._awaited = 0
        self._hurry = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether somebody waits."""
        return self._awaited > 0

    def awaited(self, more: int) -> None:
        """One more waits, or one fewer; under the lock."""
        self._awaited += more
        if more > 0:
            self._hurry.set()

    def rest(self, seconds: float) -> None:
        """Sleep so long, or until somebody waits."""
        self._hurry.wait(seconds)
        self._hurry.clear()

    def wake(self) -> None:
        """End a `rest`."""
        self._hurry.set()


class Delivery:
    """One record's: read as a `Future` is. It is served soon once somebody waits for it."""

    __slots__ = ("_calls", "_desk", "_outcome")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._outcome: int | ClusterLiteError | None = None
        self._calls: list[Callable[[Delivery], object]] = []

    def done(self) -> bool:
        """Whether it is known."""
        return self._outcome is not None

    def exception(self, timeout: float | None = None) -> ClusterLiteError | None:
        """Why the record has no position, None where it has one.

        Raises:
            TimeoutError: it was not known in time.
        """
        outcome = self._wait(timeout)
        return None if isinstance(outcome, int) else outcome

    def result(self, timeout: float | None = None) -> int:
        """The position.

        Raises:
            ClusterLiteError: the record has none.
            TimeoutError: it was not known in time.
        """
        outcome = self._wait(timeout)
        if isinstance(outcome, int):
            return outcome
        raise outcome

    def add_done_callback(self, call: Callable[[Delivery], object]) -> None:
        """Call it once it is known: now, or on the thread that serves the reports."""
        with self._desk.lock:
            if self._outcome is None:
                self._calls.append(call)
                self._desk.awaited(1)
                return
        call(self)

    def settle(self, outcome: int | ClusterLiteError) -> None:
        """Make it known; what comes after the first time changes nothing."""
        with self._desk.lock:
            if self._outcome is not None:
                return
            self._outcome = outcome
            calls, self._calls = self._calls, []
            if calls:
                self._desk.awaited(-len(calls))
        for call in calls:
            call(self)

    def reported(self, error: KafkaError | None, message: Message) -> None:
        """The producer's report."""
        topic = self._desk.topic
        if error is not None:
            self._desk.failed(error)
            self.settle(AppendUnknown(f"Kafka topic {topic}: the append: {plainly(error)}"))
            return
        offset = message.offset()
        if offset is None or offset < 0:
            # A retry that the broker knew already: written, but it does not say where.
            self.settle(PositionNotTold(f"Kafka topic {topic}: written at a position not told"))
        else:
            self.settle(offset)

    def _wait(self, timeout: float | None) -> int | ClusterLiteError:
        if self._outcome is None:
            known = threading.Event()
            self.add_done_callback(lambda _: known.set())
            known.wait(timeout)
        if self._outcome is None:
            raise TimeoutError
        return self._outcome
