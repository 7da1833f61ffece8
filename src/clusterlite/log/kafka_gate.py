"""The gate before the producer: what tells "it did not happen" from "it is not known".

Rules:

1. A record is handed to the producer only while the gate is open. What a shut gate refuses
   never left this process; what it let through and failed may be written, whatever the code.
2. The gate shuts when an append fails, when all brokers are out of reach, and when the
   partition has no leader with a connection.
3. Only an acknowledged barrier opens it again. Barriers for that are sent while it is shut, one
   at a time, with a growing pause between them.
4. While it stays shut, the producer is replaced now and then: librdkafka may take a partition that
   had no leader for a moment for one that never has (its issue 5430), and nothing else mends that.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import msgspec
from confluent_kafka import KafkaError

from clusterlite.log.kafka_errors import plainly

PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0
RENEW_S = 20.0
"""How long a shut gate waits for its producer, before another one takes its place."""

_NOT_THE_LOGS_FAULT = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
"""Errors of one record that say nothing about the next one's chances."""


def barrier_bytes() -> bytes:
    """A BARRIER event: it moves the position and has no other effect.

    The log knows no cluster to name, no position and no node. Whatever a replica makes of that, a
    barrier keeps no outcome.
    """
    now = datetime.now(UTC)
    return msgspec.json.encode(
        {
            "id": str(uuid.uuid4()),
            "operation": "BARRIER",
            "table_name": "",
            "data": {},
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "format": 1,
            "cluster": "",
            "node": "",
            "actor": "",
            "after": -1,
            "fp": "",
        }
    )


class Gate:
    """Open or shut, and when to try the next barrier.

    Written by whichever thread serves the producer, read by every thread that appends: a
    look is one attribute, so it needs no lock.
    """

    def __init__(self) -> None:
        self.shut: str | None = "not connected yet"
        """Why, for the caller; None while it is open."""
        self._probing = False
        self._pause_s = PAUSE_S_MIN
        self._next_probe = 0.0
        self._renew_at = time.monotonic() + RENEW_S

    def shut_for(self, reason: str) -> None:
        """Shut it; the first reason stays until it opens, or until nobody answers."""
        if self.shut is None:
            self.shut = reason
            self._next_probe = 0.0
            self._pause_s = PAUSE_S_MIN
            self.producer_is_new()

    def nobody_answers(self, reason: str) -> None:
        """Shut it: this says more than whatever shut it before, so it is what is told from now."""
        self.shut_for(reason)
        self.shut = reason

    def append_failed(self, error: KafkaError) -> None:
        """Shut it unless the fault lies with the one record."""
        if error.code() not in _NOT_THE_LOGS_FAULT:
            self.shut_for(f"the last append failed: {plainly(error)}")

    def open(self) -> None:
        """A barrier was acknowledged."""
        self.shut = None

    def wants_probe(self) -> bool:
        """Whether a barrier is to be sent now."""
        return self.shut is not None and not self._probing and time.monotonic() >= self._next_probe

    def wants_producer(self) -> bool:
        """Whether it has been shut for so long that another producer is to be tried."""
        return self.shut is not None and time.monotonic() >= self._renew_at

    def producer_is_new(self) -> None:
        """Give this producer its time."""
        self._renew_at = time.monotonic() + RENEW_S

    def probe_begins(self) -> None:
        """A barrier was handed over; no other one until it ended."""
        self._probing = True

    def probe_ended(self, error: KafkaError | None) -> None:
        """Its report came."""
        self._probing = False
        if error is None:
            self.open()
            return
        self._next_probe = time.monotonic() + self._pause_s
        self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)


class _BrokerFigures(msgspec.Struct):
    nodeid: int
    state: str


class _PartitionFigures(msgspec.Struct):
    leader: int


class _TopicFigures(msgspec.Struct):
    partitions: dict[str, _PartitionFigures]


class _Figures(msgspec.Struct):
    """The part of librdkafka's statistics that says who leads and who is connected."""

    brokers: dict[str, _BrokerFigures]
    topics: dict[str, _TopicFigures]


_decode_figures = msgspec.json.Decoder(_Figures).decode


def lost_leader(statistics: str, topic: str) -> str | None:
    """Why nothing can be appended now, None where the leader is connected or not known yet."""
    try:
        figures = _decode_figures(statistics)
    except msgspec.MsgspecError:
        # Figures of a shape that we do not know tell nothing.
        return None
    partition = figures.topics.get(topic, _TopicFigures({})).partitions.get("0")
    if partition is None:
        return None
    if partition.leader < 0:
        return "the partition has no leader"
    states = [b.state for b in figures.brokers.values() if b.nodeid == partition.leader]
    if "UP" in states:
        return None
    return f"no connection to the partition's leader, broker {partition.leader}"
