"""What an operator may set on the Kafka clients, and what is refused."""

from __future__ import annotations

import logging

import pytest

from clusterlite.errors import ConfigError, LogClosed, LogUnavailable
from clusterlite.log.kafka import KafkaLog
from clusterlite.log.kafka_settings import REPEAT_S, RESERVED, KafkaSettings, Repeats
from clusterlite.log.open import make_log

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_an_option_that_a_guarantee_rests_on_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        KafkaLog(NOWHERE, "events", {name: "1"})


def test_security_options_reach_every_client() -> None:
    options = {"security.protocol": "SASL_SSL", "sasl.password": "secret", "ssl.ca.location": "ca"}
    settings = KafkaSettings(NOWHERE, options)
    configs = [settings.producer(1000), settings.follower(), settings.questions(), settings.admin()]
    for config in configs:
        assert options.items() <= config.items()
        assert config["bootstrap.servers"] == NOWHERE


def test_what_is_fixed_for_durability_and_order() -> None:
    settings = KafkaSettings(NOWHERE, {})
    producer, consumer = settings.producer(1000), settings.follower()
    assert (producer["acks"], producer["enable.idempotence"]) == ("all", "true")
    assert consumer["auto.offset.reset"] == "error"
    assert consumer["isolation.level"] == "read_uncommitted"
    assert consumer["enable.auto.commit"] == "false"
    assert consumer["check.crcs"] == "true"


def test_an_option_of_one_kind_of_client_is_kept_from_the_others() -> None:
    settings = KafkaSettings(NOWHERE, {"linger.ms": "1", "fetch.wait.max.ms": "100"})
    assert settings.producer(1000)["linger.ms"] == "1"
    assert "fetch.wait.max.ms" not in settings.producer(1000)
    assert settings.follower()["fetch.wait.max.ms"] == "100"
    assert "linger.ms" not in settings.follower()
    assert not {"linger.ms", "fetch.wait.max.ms"} & settings.admin().keys()


def test_a_synonym_replaces_the_default_instead_of_standing_beside_it() -> None:
    config = KafkaSettings(NOWHERE, {"message.timeout.ms": "12000"}).producer(1000)
    assert config["delivery.timeout.ms"] == "12000"
    assert "message.timeout.ms" not in config


def test_the_delivery_time_is_longer_than_an_http_request_waits() -> None:
    assert int(KafkaSettings(NOWHERE, {}).producer(1000)["delivery.timeout.ms"]) > 10_000


def test_secrets_show_nowhere() -> None:
    log = KafkaLog(NOWHERE, "events", {"sasl.password": "hunter2"})
    assert "hunter2" not in f"{log.url} {log!r}"
    assert log.url == f"kafka://{NOWHERE}/events"


def test_before_open_nothing_is_written_and_after_close_neither() -> None:
    log = KafkaLog(NOWHERE, "events", {})
    with pytest.raises(LogUnavailable):
        log.append([b"x"])[0].result(0)
    with pytest.raises(LogUnavailable):
        log.bounds()
    log.close()
    with pytest.raises(LogClosed):
        log.append([b"x"])[0].result(0)
    with pytest.raises(LogClosed):
        log.open()


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"message\.max\.bytes"):
        KafkaLog(NOWHERE, "events", {"message.max.bytes": "many"})


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a/b", "é", "x" * 250])
def test_a_name_that_no_broker_takes_is_refused(topic: str) -> None:
    with pytest.raises(ConfigError, match="name of a Kafka topic"):
        KafkaLog(NOWHERE, topic, {})


def test_a_password_in_the_brokers_address_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match=r"sasl\.password") as refused:
        KafkaLog("me:hunter2@127.0.0.1:1", "events", {})
    assert "hunter2" not in str(refused.value)


def test_a_line_of_one_kind_passes_once_in_a_while_whichever_client_writes_it() -> None:
    def line(kind: str, client: str, at_s: float, level: int = logging.ERROR) -> bool:
        record = logging.LogRecord(
            "kafka", level, "", 0, "%s [%s] %s", (kind, client, "refused"), None
        )
        record.created = at_s
        return repeats.filter(record)

    repeats = Repeats()
    assert line("FAIL", "producer-1", 100.0)
    assert not line("FAIL", "consumer-2", 100.5)
    assert line("REQTMOUT", "producer-1", 100.5)
    assert line("FAIL", "producer-1", 100.5, logging.WARNING)
    assert not line("FAIL", "producer-1", 100.0 + REPEAT_S - 0.1)
    assert line("FAIL", "producer-1", 100.0 + REPEAT_S)


def test_an_option_may_hold_any_character() -> None:
    log = make_log("kafka://127.0.0.1:1/events?sasl.password=a%26b%23c#d")
    assert isinstance(log, KafkaLog)
    assert log._settings.options["sasl.password"] == "a&b#c#d"
