"""Faults of the log itself: brokers that forgot, a topic made again, an older copy, a trimmed one.

Each puts a log in place that is not the nodes' own, sees every node halt for the right reason, and
puts the right one back from a copy that was taken while the brokers were stopped. Between that
copy and the wrong log nothing can be written, and on the wrong one nothing may be acknowledged:
a write that a node acknowledged there is lost when the copy returns, and the run's check sees it.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clusterlite.testing.cluster.nodes import TOPIC
from clusterlite.testing.faults.operator import Kind, NotAsExpected, Operator

OLDER_S: Final = 5.0
"""How much older the older copy is."""

MISSED_MIN: Final = 50
"""Records that a stopped node has missed before the log is trimmed."""

HALT_WAIT_S: Final = 120.0
"""Brokers start meanwhile, and clients find out that their connections are gone."""

_ASK_WAIT_S: Final = 30.0
_SILENT: Final = 0
"""Of librdkafka: brokers that are stopped are none of its news."""

_SETTINGS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
    "message.timestamp.type": "LogAppendTime",
}


class Logs:
    """Faults of what the brokers keep.

    Args:
        operator: acts on the nodes.
        chance: picks where a log is trimmed.
        folder: for the copies.
    """

    def __init__(self, operator: Operator, chance: random.Random, folder: Path) -> None:
        self._operator = operator
        self._kafka = operator.cluster.kafka
        self._chance = chance
        self._folder = folder
        self._copied = False

    def kinds(self) -> dict[str, Kind]:
        """What can be made here."""
        every = self._operator.every
        found = {
            "brokers lost all data": Kind(lambda _: self._wipe()),
            "topic deleted": Kind(lambda _: self._delete_topic()),
            "topic made again": Kind(lambda _: self._make_topic_again()),
            "log rewound": Kind(lambda _: self._rewind()),
        }
        if self._operator.cluster.links:
            found["log trimmed past a node"] = Kind(self._trim_past, every)
        return found

    def _wipe(self) -> None:
        """New brokers under the old address: they have no such topic, and no node makes one."""
        with self._another_log():
            self._kafka.wipe()
            self._kafka.start()
            self._all(self._wait_no_topic)

    def _delete_topic(self) -> None:
        """Everything else of the brokers stays; nothing can be written between copy and delete."""
        with self._another_log(), self._cut_off():
            self._kafka.start()
            admin = self._admin()  # kept, since it ends with its last reference
            admin.delete_topics([TOPIC])[TOPIC].result(_ASK_WAIT_S)
            self._open_links()
            self._all(self._wait_no_topic)

    def _make_topic_again(self) -> None:
        """Its name is the same, its id is not."""
        with self._another_log(), self._cut_off():
            self._kafka.wipe()
            self._kafka.start()
            topic = NewTopic(TOPIC, 1, len(self._kafka.brokers), config=_SETTINGS)
            admin = self._admin()
            admin.create_topics([topic])[TOPIC].result(_ASK_WAIT_S)
            self._open_links()
            self._all(lambda node: self._operator.wait_halt(node, "wrong_log", wait_s=HALT_WAIT_S))
        self._all(lambda node: self._operator.restart_halted(node, "the right log put back"))

    def _rewind(self) -> None:
        """The brokers come back with an older copy of their data."""
        self._kafka.stop()
        self._copy("older")
        self._kafka.start()
        self._operator.cluster.wait_ready()
        before = self._end()
        time.sleep(OLDER_S)
        while self._end() <= before:
            time.sleep(0.1)
        with self._another_log():
            self._put_back("older")
            self._kafka.start()
            self._all(self._wait_rewound)
        self._all(lambda node: self._operator.restart_halted(node, "the newer log put back"))

    def _trim_past(self, node: int) -> None:
        """A node was down while what it has not read yet was deleted.

        Below its position nothing happens to it: the others, which are at the end, go on.
        """
        behind = self._operator.stop(node)
        goal = self._end() + MISSED_MIN
        deadline = time.monotonic() + _ASK_WAIT_S
        while self._end() < goal:
            if time.monotonic() > deadline:
                raise NotAsExpected("no load reaches the log while one node is down")
            time.sleep(0.1)
        with self._another_log(), self._cut_off():
            self._kafka.start()
            self._trim(self._end() - self._chance.randint(0, MISSED_MIN // 10))
            behind.held = False
            self._operator.cluster.links[node].set("open")
            self._operator.wait_halt(node, "log_gap", wait_s=HALT_WAIT_S)
        self._operator.restart_halted(node, "the whole log put back")

    # The other log, and the way back.

    @contextmanager
    def _another_log(self) -> Iterator[None]:
        """Stop the brokers and copy their data aside; at the end put it back and start them."""
        self._kafka.stop()
        self._copy("aside")
        self._copied = True
        try:
            yield
        finally:
            self.heal()

    @contextmanager
    def _cut_off(self) -> Iterator[None]:
        """No node reaches a broker."""
        for link in self._operator.cluster.links:
            link.set("refused")
        try:
            yield
        finally:
            self._open_links()

    def _open_links(self) -> None:
        for link in self._operator.cluster.links:
            link.set("open")

    def heal(self) -> None:
        """Put the brokers' own data back where other data stands in its place."""
        if not self._copied:
            return
        self._kafka.kill()
        self._put_back("aside")
        self._copied = False
        self._kafka.start()

    def _copy(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        for broker in self._kafka.brokers:
            shutil.copytree(broker.data, self._folder / name / broker.folder.name)

    def _put_back(self, name: str) -> None:
        for broker in self._kafka.brokers:
            shutil.rmtree(broker.data)
            shutil.copytree(self._folder / name / broker.folder.name, broker.data)

    # What is asked.

    def _all(self, do: Callable[[int], object]) -> None:
        for node in self._operator.every:
            do(node)

    def _wait_rewound(self, node: int) -> None:
        """Another record may stand at the position of a replica by now: another node's barrier."""
        self._operator.wait_halt(node, "log_rewound", "wrong_log", wait_s=HALT_WAIT_S)

    def _wait_no_topic(self, node: int) -> None:
        found = self._operator.wait_state(node, "log_unreachable", "halted")
        while "no such topic" not in str(found.get("reason")):
            if found.get("state") == "halted":
                raise NotAsExpected(f"node-{node + 1}: {found.get('reason')}")
            time.sleep(0.1)
            found = self._operator.wait_state(node, "log_unreachable", "halted")
        self._operator.seen["waits: no such topic"] += 1

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._kafka.address, "log_level": _SILENT})

    def _end(self) -> int:
        settings = {"bootstrap.servers": self._kafka.address, "group.id": "faults"}
        consumer = Consumer({**settings, "log_level": _SILENT})
        deadline = time.monotonic() + _ASK_WAIT_S
        try:
            while True:
                try:
                    found = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=5)
                    return int(found[1])
                except KafkaException:
                    # Brokers that were just started may have no leader yet.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
        finally:
            consumer.close()

    def _trim(self, position: int) -> None:
        asked = TopicPartition(TOPIC, 0, position)
        admin = self._admin()
        for done in admin.delete_records([asked]).values():
            done.result(_ASK_WAIT_S)
