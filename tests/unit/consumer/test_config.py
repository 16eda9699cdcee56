"""Settings: what is wrong is named, with what is allowed, all at once, and no secret is printed."""

from __future__ import annotations

import pytest
from jobstatus_consumer.config import FIXED_KAFKA, OTHER_FIELDS, Settings, env_name, load_settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_schemas.protocol import CONSUMER_ENV

SECRET = "hunter2"
GOOD = {
    "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "a:1",
    "JOBSTATUS_DATABASE_URL": f"postgresql://u:{SECRET}@h/d",
}


def test_the_environment_alone_is_enough() -> None:
    settings = load_settings({**GOOD, "JOBSTATUS_BATCH_MAX_EVENTS": "500", "JOBSTATUS_STATUSES": "a, b", "PATH": "/"})
    assert settings.batch_max_events == 500
    assert settings.statuses == frozenset({"a", "b"})
    assert settings.bootstrap_servers == "a:1"
    assert settings.dead_letter_topic == "job-status.dlq"
    assert SECRET in settings.database


def test_a_flag_wins_over_the_environment_and_an_empty_variable_counts_as_not_set() -> None:
    environ = {**GOOD, "JOBSTATUS_TOPIC": "from-env", "JOBSTATUS_TABLE": ""}
    settings = load_settings(environ, {"topic": "from-flag", "table": None, "kafka": {"client.id": "x"}})
    assert settings.topic == "from-flag"
    assert settings.table == "jobs"
    assert settings.kafka == {"bootstrap.servers": "a:1", "client.id": "x"}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("JOBSTATUS_BATCH_MAX_EVENTS", "fifty", "wanted a whole number from 1 to 10000"),
        ("JOBSTATUS_BATCH_MAX_EVENTS", "0", "wanted a whole number from 1 to 10000"),
        ("JOBSTATUS_BATCH_LINGER_SECONDS", "-1", "wanted a number from 0 to 60"),
        ("JOBSTATUS_BATCH_LINGER_SECONDS", "nan", "wanted a number from 0 to 60"),
        ("JOBSTATUS_TOPIC", "a b", "wanted 1 to 249 letters, digits"),
        ("JOBSTATUS_TOPIC", ".", "not . or .. alone"),
        ("JOBSTATUS_DLQ_TOPIC", "..", "not . or .. alone"),
        ("JOBSTATUS_TABLE", "jobs; drop", "schema.name"),
        ("JOBSTATUS_LOG_FORMAT", "xml", "wanted text or json"),
        ("JOBSTATUS_HTTP_ADDRESS", "nowhere", "host:port"),
        ("JOBSTATUS_DLQ_BUDGET_PERCENT", "101", "wanted a number over 0 to 100"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, name: value})
    assert name in str(caught.value)
    assert allowed in str(caught.value)
    assert SECRET not in str(caught.value)


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, "JOBSTATUS_TOPIC": "", "JOBSTATUS_TABLE": "1", "JOBSTATUS_BATCH_MAX_BYTES": "1"})
    assert "JOBSTATUS_TABLE" in str(caught.value)
    assert "JOBSTATUS_BATCH_MAX_BYTES" in str(caught.value)


def test_an_unknown_setting_is_refused_with_a_guess() -> None:
    with pytest.raises(SettingsError, match=r"JOBSTATUS_GROUP is no setting.*did you mean JOBSTATUS_GROUP_ID"):
        load_settings({**GOOD, "JOBSTATUS_GROUP": "x"})


@pytest.mark.parametrize("name", FIXED_KAFKA)
def test_a_property_that_breaks_a_promise_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=name.upper().replace(".", "_")) as caught:
        load_settings({**GOOD, f"JOBSTATUS_KAFKA_{name.upper().replace('.', '_')}": "17"})
    assert f"allowed: {FIXED_KAFKA[name]}" in str(caught.value)


def test_contradictions_are_refused() -> None:
    with pytest.raises(SettingsError, match="topic itself"):
        load_settings({**GOOD, "JOBSTATUS_DLQ_TOPIC": "job-status"})
    with pytest.raises(SettingsError, match="JOBSTATUS_GROUP_ID"):
        load_settings({**GOOD, "JOBSTATUS_KAFKA_GROUP_ID": "x"})


def test_what_is_missing_is_said_by_its_name_when_it_is_needed() -> None:
    settings = load_settings({})
    with pytest.raises(SettingsError, match="JOBSTATUS_DATABASE_URL is not set"):
        _ = settings.database
    with pytest.raises(SettingsError, match="JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set"):
        _ = settings.bootstrap_servers


def test_no_secret_in_the_settings_text() -> None:
    assert SECRET not in repr(load_settings(GOOD))


def test_both_sides_agree_on_the_names() -> None:
    assert set(CONSUMER_ENV) == {env_name(field) for field in Settings.model_fields if field not in OTHER_FIELDS}
