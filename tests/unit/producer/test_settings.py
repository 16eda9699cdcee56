"""Settings are read once, and whatever contradicts the producer's promises is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobstatus_producer import JobStatusProducer, ProducerSettings, SettingsError
from jobstatus_schemas.protocol import PRODUCER_ENV

SERVERS = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def settings(**variables: str) -> ProducerSettings:
    return ProducerSettings.from_env(SERVERS | variables)


def test_the_servers_alone_are_enough() -> None:
    found = ProducerSettings.from_env(SERVERS)
    assert found.kafka == {"bootstrap.servers": "127.0.0.1:1"}
    assert (found.topic, found.spool_dir, found.worker_id, found.statuses) == ("job-status", None, None, None)


def test_without_servers_the_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set"):
        ProducerSettings.from_env({})


def test_every_variable_is_read() -> None:
    found = settings(
        JOBSTATUS_TOPIC="t",
        JOBSTATUS_SPOOL_DIR="/spool",
        JOBSTATUS_STATUSES="new, done,failed",
        JOBSTATUS_WORKER_ID="w",
        JOBSTATUS_SPOOL_MAX_BYTES="1000",
        JOBSTATUS_DURABLE="true",
        JOBSTATUS_MAX_PENDING_EVENTS="10",
        JOBSTATUS_MAX_PENDING_BYTES="1000",
        JOBSTATUS_MAX_BLOCK_SECONDS="0.5",
        JOBSTATUS_WAIT_SECONDS="1",
        JOBSTATUS_CLOSE_SECONDS="2",
        JOBSTATUS_KAFKA_COMPRESSION_TYPE="lz4",
    )
    assert found == ProducerSettings(
        topic="t",
        spool_dir=Path("/spool"),
        statuses=frozenset({"new", "done", "failed"}),
        worker_id="w",
        spool_max_bytes=1000,
        durable=True,
        max_pending_events=10,
        max_pending_bytes=1_000,
        max_block_seconds=0.5,
        wait_seconds=1.0,
        close_seconds=2.0,
        kafka={"bootstrap.servers": "127.0.0.1:1", "compression.type": "lz4"},
    )


def test_the_list_of_known_variables_is_what_is_read() -> None:
    values = {
        "JOBSTATUS_DURABLE": "false",
        "JOBSTATUS_FORMAT": "single-object",
        "JOBSTATUS_SCHEMA_SUBJECT_STRATEGY": "record",
    }
    for name in PRODUCER_ENV:
        settings(**{name: values.get(name, "1")})


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"JOBSTATUS_FORMAT": "json"}, "JOBSTATUS_FORMAT: wanted single-object or confluent"),
        ({"JOBSTATUS_FORMAT": "confluent"}, "JOBSTATUS_FORMAT=confluent needs JOBSTATUS_SCHEMA_REGISTRY_URL"),
        (
            {"JOBSTATUS_SCHEMA_SUBJECT_STRATEGY": "x"},
            "JOBSTATUS_SCHEMA_SUBJECT_STRATEGY: wanted topic or record or topic_record",
        ),
    ],
)
def test_a_format_that_cannot_be_written_is_refused(variables: dict[str, str], wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted):
        settings(**variables)


def test_the_registry_is_read_only_for_its_own_format() -> None:
    registry = {"JOBSTATUS_SCHEMA_REGISTRY_URL": "http://one:8081, http://two:8081"}
    assert settings(**registry).registry is None
    found = settings(JOBSTATUS_FORMAT="confluent", **registry).registry
    assert found is not None
    assert found.urls == ["http://one:8081", "http://two:8081"]


def test_an_unknown_setting_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(SettingsError, match=r"JOBSTATUS_SPOL_DIR: no such setting; did you mean JOBSTATUS_SPOOL_DIR\?"):
        settings(JOBSTATUS_SPOL_DIR="/spool")


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"JOBSTATUS_XYZZY: .*known: .*JOBSTATUS_TOPIC.*JOBSTATUS_KAFKA_<NAME>"):
        settings(JOBSTATUS_XYZZY="1")


def test_the_consumers_settings_may_stand_in_the_same_environment() -> None:
    settings(JOBSTATUS_DATABASE_URL="postgresql://user:secret@host/db", JOBSTATUS_GROUP_ID="g")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("JOBSTATUS_MAX_PENDING_EVENTS", "many", "a whole number from 1 up"),
        ("JOBSTATUS_MAX_PENDING_EVENTS", "0", "a whole number from 1 up"),
        ("JOBSTATUS_MAX_PENDING_EVENTS", "-1", "a whole number from 1 up"),
        ("JOBSTATUS_SPOOL_MAX_BYTES", "1e6", "a whole number from 1 up"),
        ("JOBSTATUS_MAX_BLOCK_SECONDS", "soon", "seconds from 0 to 86400"),
        ("JOBSTATUS_WAIT_SECONDS", "nan", "seconds from 0 to 86400"),
        ("JOBSTATUS_CLOSE_SECONDS", "-1", "seconds from 0 to 86400"),
        ("JOBSTATUS_DURABLE", "maybe", "true or false"),
        ("JOBSTATUS_TOPIC", "bad/topic", "1 to 249 letters, digits, dots, underscores and hyphens"),
        ("JOBSTATUS_TOPIC", "..", "1 to 249 letters, digits, dots, underscores and hyphens"),
        ("JOBSTATUS_TOPIC", "topic\n", "1 to 249 letters, digits, dots, underscores and hyphens"),
        ("JOBSTATUS_TOPIC", "t" * 250, "1 to 249 letters, digits, dots, underscores and hyphens"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_wanted(name: str, value: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: wanted {wanted}"):
        settings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ACKS", "0", "allowed: all"),
        ("ACKS", "1", "allowed: all"),
        ("REQUEST_REQUIRED_ACKS", "1", "allowed: all"),
        ("ENABLE_IDEMPOTENCE", "false", "allowed: true"),
        ("PARTITIONER", "consistent", "allowed: murmur2_random"),
        ("DELIVERY_REPORT_ONLY_ERROR", "true", "allowed: false"),
        ("MESSAGE_TIMEOUT_MS", "1000", "allowed: 0"),
        ("TRANSACTIONAL_ID", "x", "no transactions"),
        ("QUEUE_BUFFERING_MAX_MESSAGES", "10", "JOBSTATUS_MAX_PENDING_EVENTS"),
    ],
)
def test_a_property_that_breaks_a_promise_is_refused_with_what_is_allowed(name: str, value: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^JOBSTATUS_KAFKA_{name}: .*{text}"):
        settings(**{f"JOBSTATUS_KAFKA_{name}": value})


@pytest.mark.parametrize("value", ["all", "-1", "ALL"])
def test_a_property_that_says_what_holds_anyway_is_allowed(value: str) -> None:
    settings(JOBSTATUS_KAFKA_ACKS=value)


def test_durable_needs_a_spool() -> None:
    with pytest.raises(SettingsError, match="JOBSTATUS_DURABLE needs JOBSTATUS_SPOOL_DIR"):
        settings(JOBSTATUS_DURABLE="1")


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"JOBSTATUS_WORKER_ID": "w" * 257}, "JOBSTATUS_WORKER_ID: worker_id: 257 bytes"),
        ({"JOBSTATUS_STATUSES": " , "}, "JOBSTATUS_STATUSES"),
    ],
)
def test_values_are_held_to_what_the_event_allows(variables: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        settings(**variables)


def test_a_property_that_the_client_does_not_know_is_named() -> None:
    with pytest.raises(SettingsError, match="JOBSTATUS_KAFKA_NO_SUCH_THING"):
        JobStatusProducer.from_env(SERVERS | {"JOBSTATUS_KAFKA_NO_SUCH_THING": "1"})


def test_a_password_is_never_printed() -> None:
    found = settings(JOBSTATUS_KAFKA_SASL_PASSWORD="hunter2", JOBSTATUS_KAFKA_SASL_USERNAME="me")
    assert "hunter2" not in repr(found)
    assert found.shown() == {"bootstrap.servers": "127.0.0.1:1", "sasl.password": "***", "sasl.username": "me"}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        settings().topic = "other"  # type: ignore[misc]
