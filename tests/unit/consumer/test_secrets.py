"""Secrets in files, and what never repeats one: `repr`, librdkafka's errors, messages, tracebacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobstatus_consumer.config import current_kafka, load_settings
from jobstatus_consumer.errors import BrokerError, DatabaseAwayError, SettingsError
from jobstatus_consumer.kafka.renewing import Renewing
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.store.connection import Limits, open_connection
from jobstatus_producer import ProducerSettings
from jobstatus_producer.errors import SettingsError as ProducerSettingsError
from jobstatus_schemas.database_url import read_url

PASSWORD = "hunter2-in-a-file"
NOBODY = "127.0.0.1:1"
URL = f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/database"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The variables of a deployment whose secrets are in files."""
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": NOBODY,
        "JOBSTATUS_DATABASE_URL_FILE": str(tmp_path / "url"),
        "JOBSTATUS_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password"),
    }


def test_secrets_are_read_from_files_and_read_again(files: dict[str, str]) -> None:
    settings = load_settings(files)
    assert settings.kafka["sasl.password"] == PASSWORD
    assert read_url(settings.database) == URL
    made: list[str] = []
    client = Renewing(settings, lambda: made.append(current_kafka(settings)["sasl.password"]))
    client.get()
    Path(files["JOBSTATUS_KAFKA_SASL_PASSWORD_FILE"]).write_text("another")
    Path(files["JOBSTATUS_DATABASE_URL_FILE"]).write_text("postgresql:///another")
    assert client.outdated
    client.get()
    client.get()
    assert made == [PASSWORD, "another"]
    assert read_url(settings.database) == "postgresql:///another"


def test_a_file_that_is_being_replaced_keeps_the_old_value_and_the_database_waits(files: dict[str, str]) -> None:
    settings = load_settings(files)
    for name in ("JOBSTATUS_KAFKA_SASL_PASSWORD_FILE", "JOBSTATUS_DATABASE_URL_FILE"):
        Path(files[name]).unlink()
    assert current_kafka(settings)["sasl.password"] == PASSWORD
    with pytest.raises(DatabaseAwayError, match=r"JOBSTATUS_DATABASE_URL_FILE: the file .*/url cannot be read"):
        open_connection(settings.database, Limits(connect=2.0))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"JOBSTATUS_DATABASE_URL": URL}, "JOBSTATUS_DATABASE_URL and JOBSTATUS_DATABASE_URL_FILE are both set"),
        ({"JOBSTATUS_KAFKA_SASL_PASSWORD": PASSWORD}, "JOBSTATUS_KAFKA_SASL_PASSWORD_FILE are both set"),
        ({"JOBSTATUS_KAFKA_SASL_PASSWORD_FILE": "/nowhere/x"}, "/nowhere/x cannot be read: No such file"),
        ({"JOBSTATUS_DATABASE_URL_FILE": "/dev/null"}, "/dev/null is empty"),
        ({"JOBSTATUS_KAFKA_SSL_CA_LOCATION": "/nowhere/ca.pem"}, "JOBSTATUS_KAFKA_SSL_CA_LOCATION"),
        ({"JOBSTATUS_KAFKA_SSL_CA_LOCATION": "/nowhere/ca.pem"}, "there is no file /nowhere/ca.pem"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(files: dict[str, str], changed: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as found:
        load_settings({**files, **changed})
    assert words in str(found.value)
    assert PASSWORD not in str(found.value)


def test_a_flag_wins_over_a_file(files: dict[str, str]) -> None:
    flags = {"database_url": "postgresql:///flag", "kafka": {"sasl.password": "flag"}}
    settings = load_settings(files, flags)
    assert settings.database == "postgresql:///flag"
    assert current_kafka(settings)["sasl.password"] == "flag"


def test_the_producer_reads_files_too(files: dict[str, str]) -> None:
    settings = ProducerSettings.from_env(files)
    assert settings.kafka["sasl.password"] == PASSWORD
    Path(files["JOBSTATUS_KAFKA_SASL_PASSWORD_FILE"]).write_text("another")
    assert settings.current_kafka()["sasl.password"] == "another"
    assert PASSWORD not in repr(settings)
    with pytest.raises(ProducerSettingsError, match="JOBSTATUS_KAFKA_SSL_CA_LOCATION: there is no file /nowhere"):
        ProducerSettings.from_env({**files, "JOBSTATUS_KAFKA_SSL_CA_LOCATION": "/nowhere/ca.pem"})


def test_a_property_of_librdkafka_that_names_a_file_itself_is_handed_on() -> None:
    settings = load_settings({"JOBSTATUS_KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE": "/a/token"})
    assert settings.kafka == {"sasl.oauthbearer.assertion.file": "/a/token"}


def test_no_secret_is_in_repr(files: dict[str, str]) -> None:
    assert PASSWORD not in repr(load_settings(files))
    plain = {"JOBSTATUS_DATABASE_URL": URL, "JOBSTATUS_KAFKA_SASL_PASSWORD": PASSWORD}
    assert PASSWORD not in repr(load_settings(plain))
    assert PASSWORD not in str(load_settings(plain))


@pytest.mark.parametrize(
    "kafka",
    [
        {"bootstrap.servers": f"somebody:{PASSWORD}@{NOBODY}"},
        {
            "bootstrap.servers": NOBODY,
            "security.protocol": "sasl_plaintext",
            "sasl.mechanisms": "OAUTHBEARER",
            "enable.sasl.oauthbearer.unsecure.jwt": "true",
            "sasl.oauthbearer.config": f"nonsense={PASSWORD}",
        },
        {"bootstrap.servers": NOBODY, "sasl.password": PASSWORD, "compression.codec": PASSWORD},
    ],
    ids=["servers", "oauthbearer", "misplaced"],
)
def test_no_secret_is_in_what_librdkafka_says(kafka: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((BrokerError, SettingsError)) as found:
        Topics(load_settings({}, {"kafka": kafka}), patience=0.5).reach(1.5)
    assert PASSWORD not in str(found.value)
    assert PASSWORD not in capfd.readouterr().err
