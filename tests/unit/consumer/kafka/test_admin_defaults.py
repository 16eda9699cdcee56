"""What every admin client has."""

from __future__ import annotations

from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka.client import admin_properties

NAME = "topic.metadata.refresh.interval.ms"


def test_an_admin_client_hears_of_a_new_controller_within_seconds_unless_the_user_says_otherwise() -> None:
    """Measured: asking a controller that is gone took 70 % of a core for 20 s, and takes it for 10 s at most."""
    brokers = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    assert admin_properties(load_settings(brokers))[NAME] == 10_000
    given = {"JOBSTATUS_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS": "30000"}
    assert admin_properties(load_settings({**brokers, **given}))[NAME] == "30000"
