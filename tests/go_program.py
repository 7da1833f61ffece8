"""The first program, written in Go, as the other side of a log: what it writes, how it reads."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from clusterlite.log.file import FileLog

GOLDEN = (Path(__file__).parent / "golden" / "go-program.jsonl").read_bytes().splitlines()
"""Three events as a running copy wrote them: INSERT of Ann, UPDATE and DELETE of another row."""

WAIT_S = 20.0
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_TOPIC = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
}


def go_event(
    operation: str, data: dict[str, Any], table: str = "users", event_id: str = "", **more: Any
) -> bytes:
    """A record as the program writes it; without an event id where none is given."""
    event: dict[str, Any] = {"id": event_id} if event_id else {}
    event |= {"operation": operation, "table_name": table, "data": data}
    event |= {"timestamp": "2026-11-23T03:45:42.839888374Z", **more}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def go_decode(value: bytes) -> dict[str, Any]:
    """The five fields of a record; an AssertionError where the program's reader would stop."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    event = json.loads(value.decode("utf-8", "strict"), object_pairs_hook=unique)
    assert type(event) is dict
    assert type(event["id"]) is str
    assert event["id"]
    assert type(event["operation"]) is str
    assert type(event["table_name"]) is str
    assert type(event["data"]) is dict
    assert _RFC3339.fullmatch(event["timestamp"]), event["timestamp"]
    dt.datetime.fromisoformat(event["timestamp"])
    return event


def go_rows(records: Iterable[bytes]) -> dict[str, dict[str, Any]]:
    """The users that the program's reader ends with: what it does not know it passes over."""
    rows: dict[str, dict[str, Any]] = {}
    for value in records:
        event = go_decode(value)
        if event["table_name"] != "users":
            continue
        if event["operation"] in {"INSERT", "UPDATE"}:
            rows[event["data"]["id"]] = event["data"]
        elif event["operation"] == "DELETE":
            rows.pop(event["data"]["id"], None)
    return rows


class GoSide(Protocol):
    """A log as the program reaches it, beside the nodes that use it."""

    url: str

    def append(self, *values: bytes) -> list[int]:
        """Write records; their positions."""

    def records(self) -> dict[int, bytes]:
        """Every record by its position."""

    def close(self) -> None: ...


class FileSide:
    """The embedded log, through a handle of another process than the node's."""

    def __init__(self, path: Path) -> None:
        self.url = f"file:{path}"
        self._log = FileLog(path)
        self._log.open()

    def append(self, *values: bytes) -> list[int]:
        return [future.result(WAIT_S) for future in self._log.append(values)]

    def records(self) -> dict[int, bytes]:
        end = self._log.bounds().end
        return {r.position: r.value for r in self._log.read(0, end + 1, WAIT_S).records}

    def close(self) -> None:
        self._log.close()


class KafkaSide:
    """A topic of one partition, through a plain producer and consumer of Kafka."""

    def __init__(self, address: str, topic: str) -> None:
        self.url = f"kafka://{address}/{topic}"
        self._servers = {"bootstrap.servers": address}
        self._topic = topic
        admin = AdminClient(self._servers)  # kept: its futures end with it
        admin.create_topics([NewTopic(topic, 1, 1, config=_TOPIC)])[topic].result(WAIT_S)
        self._producer = Producer({**self._servers, "acks": "all"})

    def append(self, *values: bytes) -> list[int]:
        delivered: list[Message] = []

        def noted(error: Any, message: Message) -> None:
            assert error is None, error
            delivered.append(message)

        for value in values:
            self._producer.produce(self._topic, value, on_delivery=noted)
        assert self._producer.flush(WAIT_S) == 0
        return [int(message.offset() or 0) for message in delivered]

    def records(self) -> dict[int, bytes]:
        consumer = Consumer(
            {**self._servers, "group.id": "db-consumer-group", "enable.auto.commit": False}
        )
        partition = TopicPartition(self._topic, 0, 0)
        try:
            _, end = consumer.get_watermark_offsets(partition, timeout=WAIT_S)
            consumer.assign([partition])
            found: dict[int, bytes] = {}
            while max(found, default=-1) < end - 1:
                message = consumer.poll(WAIT_S)
                assert message is not None, f"{len(found)} of {end} records came in time"
                assert message.error() is None, message.error()
                found[int(message.offset() or 0)] = message.value() or b""
        finally:
            consumer.close()
        return found

    def close(self) -> None:
        self._producer.flush(WAIT_S)
