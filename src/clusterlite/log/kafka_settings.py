"""The settings of the Kafka clients: what is fixed, what is a default, what is refused.

Three clients share an operator's options: the producer, the consumer that follows the log, and
a second connection for questions. Options are librdkafka's, by name, and pass through: SASL,
TLS, time-outs, compression. Those that a guarantee rests on cannot be set; `RESERVED` says which
guarantee that is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from clusterlite.errors import ConfigError

Config = dict[str, Any]

CLIENT_LOGGER = logging.getLogger("clusterlite.log.kafka.client")
"""Gets librdkafka's own lines. Silent until the application attaches a handler to a parent."""
CLIENT_LOGGER.addHandler(logging.NullHandler())

REPEAT_S = 10.0
"""How often the same kind of line of librdkafka passes; it tries brokers many times a second."""


class Repeats(logging.Filter):
    """Lets one line of a kind through in `REPEAT_S`, whichever of the clients writes it."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[int, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to pass a line; librdkafka's first argument is its kind, as FAIL or TIMEOUT."""
        kind = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
        key = record.levelno, kind
        last = self._last.get(key)
        if last is not None and record.created - last < REPEAT_S:
            return False
        self._last[key] = record.created
        return True


CLIENT_LOGGER.addFilter(Repeats())

RECORD_BYTES_MAX = 1_000_000
"""Of a produce request's message set, in bytes: librdkafka's default."""

RECORD_OVERHEAD_BYTES = 128
"""What a batch's and a record's headers add to a value at most, rounded up."""

_ONE_ORDER = "the log's order rests on it"
_DURABLE = "an acknowledged write must be on every in-sync broker"
_COMPLETE = "a replica reads every record, from its own position"
_ADAPTER = "the adapter sets it"

RESERVED: Mapping[str, str] = {
    "acks": _DURABLE,
    "request.required.acks": _DURABLE,
    "enable.idempotence": _ONE_ORDER,
    "queuing.strategy": _ONE_ORDER,
    "max.in.flight": _ONE_ORDER,
    "max.in.flight.requests.per.connection": _ONE_ORDER,
    "transactional.id": "the log takes part in no transaction",
    "delivery.report.only.error": "an append ends with its acknowledgement",
    "auto.offset.reset": _COMPLETE,
    "isolation.level": _COMPLETE,
    "enable.auto.commit": _COMPLETE,
    "enable.auto.offset.store": _COMPLETE,
    "auto.commit.enable": _COMPLETE,
    "check.crcs": "damaged records must be seen",
    "enable.partition.eof": "it tells that a reader has caught up",
    "group.id": "a consumer group would share out the log's records",
    "group.instance.id": "a consumer group would share out the log's records",
    "group.protocol": "a consumer group would share out the log's records",
    "allow.auto.create.topics": "the topic is made with the log's own settings",
    "bootstrap.servers": "the log's URL names the brokers",
    "metadata.broker.list": "the log's URL names the brokers",
    "statistics.interval.ms": _ADAPTER,
    "enabled_events": _ADAPTER,
    "logger": _ADAPTER,
    "error_cb": _ADAPTER,
    "stats_cb": _ADAPTER,
    "on_delivery": _ADAPTER,
}

_COMMON: Config = {
    "client.id": "clusterlite",
    "socket.keepalive.enable": "true",
    "socket.nagle.disable": "true",
    # A frozen broker is given up after this, and its successor asked.
    "socket.timeout.ms": "10000",
    "socket.connection.setup.timeout.ms": "5000",
    "reconnect.backoff.ms": "100",
    "reconnect.backoff.max.ms": "1000",
    "enable.metrics.push": "false",
}

_PRODUCER_DEFAULTS: Config = {
    "linger.ms": "0",
    # Longer than an HTTP request waits (10 s): the request ends as "unknown" before the append.
    "delivery.timeout.ms": "30000",
    "queue.buffering.max.messages": "100000",
    "queue.buffering.max.kbytes": "65536",
    "message.max.bytes": str(RECORD_BYTES_MAX),
}

_PRODUCER_FIXED: Config = {
    "acks": "all",
    "enable.idempotence": "true",
    # Its figures say whether the partition has a leader and a connection to it.
    "statistics.interval.ms": "1000",
}

_CONSUMER_DEFAULTS: Config = {
    "fetch.wait.max.ms": "500",
    "fetch.queue.backoff.ms": "50",
    "queued.max.messages.kbytes": "32768",
}

_CONSUMER_FIXED: Config = {
    # The client wants a name; without a subscription it joins no group and commits nothing.
    "group.id": "clusterlite-no-group",
    "auto.offset.reset": "error",
    "isolation.level": "read_uncommitted",
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "check.crcs": "true",
    "enable.partition.eof": "true",
    "allow.auto.create.topics": "false",
}

_QUESTIONS_DEFAULTS: Config = {
    "fetch.wait.max.ms": "50",
    "queued.min.messages": "1",
    "queued.max.messages.kbytes": "2048",
}

# librdkafka names that say "this option is for the other kind of client" on each other kind.
_ONLY_PRODUCER = frozenset(
    {
        "acks",
        "batch.num.messages",
        "batch.size",
        "compression.codec",
        "compression.level",
        "compression.type",
        "delivery.timeout.ms",
        "linger.ms",
        "message.send.max.retries",
        "message.timeout.ms",
        "partitioner",
        "queue.buffering.backpressure.threshold",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "request.timeout.ms",
        "retries",
        "sticky.partitioning.linger.ms",
    }
)
_ONLY_CONSUMER = frozenset(
    {
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.queue.backoff.ms",
        "fetch.wait.max.ms",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "session.timeout.ms",
    }
)

_SYNONYMS: Mapping[str, str] = {
    "message.timeout.ms": "delivery.timeout.ms",
    "queue.buffering.max.ms": "linger.ms",
}


class KafkaSettings:
    """An operator's brokers and options, and the three configurations made of them.

    Args:
        brokers: `host:port`, several with commas.
        options: librdkafka settings by name.

    Raises:
        ConfigError: an option that a guarantee rests on, or a user in the brokers' address.
    """

    def __init__(self, brokers: str, options: Mapping[str, str]) -> None:
        if "@" in brokers:
            raise ConfigError(
                "the Kafka brokers are host:port; user and password are the options "
                "sasl.username and sasl.password"
            )
        for name in options:
            if name in RESERVED:
                raise ConfigError(
                    f"the Kafka option {name} cannot be set: {RESERVED[name]}. "
                    f"Take it out of the log's options"
                )
        self.brokers = brokers
        self.options = {_SYNONYMS.get(name, name): value for name, value in options.items()}

    def producer(self, message_bytes_max: int) -> Config:
        """Of the producer; the topic may take less in one message set than we would send."""
        return self._config(_PRODUCER_DEFAULTS, _ONLY_CONSUMER, _PRODUCER_FIXED) | {
            "message.max.bytes": str(message_bytes_max)
        }

    def follower(self) -> Config:
        """Of the consumer that follows the log."""
        return self._config(_CONSUMER_DEFAULTS, _ONLY_PRODUCER, _CONSUMER_FIXED)

    def questions(self) -> Config:
        """Of the consumer that answers single questions."""
        defaults = _CONSUMER_DEFAULTS | _QUESTIONS_DEFAULTS
        return self._config(defaults, _ONLY_PRODUCER, _CONSUMER_FIXED)

    def admin(self) -> Config:
        """Of the admin client."""
        return self._config({}, _ONLY_PRODUCER | _ONLY_CONSUMER, {})

    @property
    def message_bytes_max(self) -> int:
        """The largest message set that our producer sends, in bytes.

        Raises:
            ConfigError: the option is no number.
        """
        text = self.options.get("message.max.bytes", str(RECORD_BYTES_MAX))
        if not text.isdecimal():
            raise ConfigError(f"the Kafka option message.max.bytes is no number: {text!r}")
        return int(text)

    def _config(self, defaults: Config, others: frozenset[str], fixed: Config) -> Config:
        mine = {name: value for name, value in self.options.items() if name not in others}
        return (
            _COMMON
            | defaults
            | mine
            | fixed
            | {"bootstrap.servers": self.brokers, "logger": CLIENT_LOGGER}
        )
