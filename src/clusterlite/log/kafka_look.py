"""A look at a Kafka topic: consumers only, no topic is made and none is judged."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException

from clusterlite.errors import ConfigError, LogUnavailable
from clusterlite.log.base import Batch, Bounds
from clusterlite.log.kafka_reader import ANSWER_TIMEOUT_S, KafkaFollower, KafkaQuestions
from clusterlite.log.kafka_settings import KafkaSettings
from clusterlite.log.kafka_topic import check_topic_name


class KafkaLook:
    """See `base.Look`.

    Args:
        brokers: `host:port`, several with commas.
        topic: its name.
        options: librdkafka settings by name.

    Raises:
        ConfigError: there is no such topic, or it has several partitions.
        LogUnavailable: the brokers cannot be reached now.
    """

    def __init__(self, brokers: str, topic: str, options: dict[str, str]) -> None:
        check_topic_name(topic)
        self.url = f"kafka://{brokers}/{topic}"
        settings = KafkaSettings(brokers, options)
        try:
            self._check_topic(settings, topic)
            self._questions = KafkaQuestions(settings.questions(), topic)
            self._follower = KafkaFollower(settings.follower(), topic, self._questions.bounds)
        except KafkaException as error:
            raise ConfigError(f"{self.url}: {error.args[0].str()}") from error

    def bounds(self) -> Bounds:
        """See `base.Look`."""
        return self._questions.bounds()

    def read(self, position: int, max_records: int, timeout_s: float) -> Batch:
        """See `base.Look`."""
        return self._follower.read(position, max_records, timeout_s)

    def close(self) -> None:
        """See `base.Look`."""
        self._follower.close()
        self._questions.close()

    def _check_topic(self, settings: KafkaSettings, name: str) -> None:
        # A consumer's question makes no topic, whatever the brokers are set to.
        asker = Consumer(settings.questions() | {"error_cb": lambda _: None})
        try:
            topic = asker.list_topics(name, timeout=ANSWER_TIMEOUT_S).topics[name]
        except KafkaException as error:
            raise LogUnavailable(
                f"{self.url} does not answer: {error.args[0].str()}; is a broker running there?"
            ) from error
        finally:
            asker.close()
        if topic.error is not None:
            if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise ConfigError(
                    f"there is no topic {name} at {settings.brokers}; the first node that starts "
                    "with this --log makes it"
                )
            raise LogUnavailable(f"{self.url}: {topic.error.str()}")
        if len(topic.partitions) != 1:
            raise ConfigError(
                f"the topic {name} has {len(topic.partitions)} partitions, so its records have no "
                "order; the log of a cluster has exactly one"
            )
