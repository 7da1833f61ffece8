"""Faults of brokers, and of the records that they hold."""

from __future__ import annotations

import random
import time
from typing import Final

from clusterlite.testing.cluster.broker import KafkaBroker
from clusterlite.testing.cluster.nodes import TOPIC
from clusterlite.testing.faults.operator import Kind, Operator
from clusterlite.testing.faults.records import COPIES_MAX, last_records, poison, produce

PAUSE_S: Final = 12.0
"""Longer than a write waits for its outcome."""

DOWN_S: Final = 8.0


class Brokers:
    """Faults of the brokers.

    Args:
        operator: acts on the nodes.
        chance: picks the broker and the records.
    """

    def __init__(self, operator: Operator, chance: random.Random) -> None:
        self._operator = operator
        self._kafka = operator.cluster.kafka
        self._chance = chance

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        found = {
            "broker killed": Kind(lambda _: self._restart(clean=False)),
            "broker restarted": Kind(lambda _: self._restart(clean=True)),
            "broker paused": Kind(lambda _: self._operator.pause([self._any().pid], PAUSE_S)),
            "all brokers down": Kind(lambda _: self._all_down()),
            "records duplicated": Kind(lambda _: self._duplicate()),
            "poison records": Kind(lambda _: self._poison()),
        }
        if len(self._kafka.brokers) > 1:
            found["all brokers paused"] = Kind(lambda _: self._pause_all())
        return found

    def _any(self) -> KafkaBroker:
        return self._chance.choice(self._kafka.brokers)

    def _restart(self, *, clean: bool) -> None:
        broker = self._any()
        if clean:
            broker.stop()
        else:
            broker.kill()
        broker.start()
        broker.wait_started()

    def _pause_all(self) -> None:
        self._operator.pause([broker.pid for broker in self._kafka.brokers], PAUSE_S)

    def _all_down(self) -> None:
        """Killed together, and away for a while."""
        self._kafka.kill()
        time.sleep(DOWN_S)
        self._kafka.start()

    def _duplicate(self) -> None:
        count = self._chance.randint(1, COPIES_MAX)
        produce(self._kafka.address, TOPIC, last_records(self._kafka.address, TOPIC, count))

    def _poison(self) -> None:
        operator = self._operator
        ids = {str(operator.status(node).get("cluster", "")) for node in operator.every}
        produce(self._kafka.address, TOPIC, poison(max(ids), self._chance))

    def heal(self) -> None:
        """Start whatever is down."""
        for broker in self._kafka.brokers:
            if not broker.running:
                broker.start()
                broker.wait_started()
