"""No text that the Kafka client's errors become shows a secret."""

from __future__ import annotations

import logging
import time

import pytest
from confluent_kafka import KafkaError
from jobstatus_producer import JobStatusProducer, SettingsError, UndeliveredError
from jobstatus_producer.delivery.transport import failure_of

NOBODY = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
OAUTH = {
    "JOBSTATUS_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
    "JOBSTATUS_KAFKA_SASL_MECHANISMS": "OAUTHBEARER",
    "JOBSTATUS_KAFKA_ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "true",
    "JOBSTATUS_KAFKA_SASL_OAUTHBEARER_CONFIG": "sekret=hunter2",
}


def test_what_the_client_could_not_read_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    jobs = JobStatusProducer.from_env(NOBODY | OAUTH)
    deadline = time.monotonic() + 60
    jobs.update_job_status("a", "ok")
    while "beginning at:" not in (jobs.stats().last_error or "") and time.monotonic() < deadline:
        jobs.flush(0.05)
    last_error = jobs.stats().last_error or ""
    with pytest.raises(UndeliveredError):
        jobs.close(0)
    assert last_error.endswith("Unrecognized sasl.oauthbearer.config beginning at: ***")
    assert "beginning at: ***" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_refused_property_shows_no_secret() -> None:
    environ = {"JOBSTATUS_KAFKA_SASL_PASSWORD": "hunter2", "JOBSTATUS_KAFKA_COMPRESSION_CODEC": "hunter2"}
    with pytest.raises(SettingsError, match=r'^JOBSTATUS_KAFKA_COMPRESSION_CODEC: Invalid value "\*\*\*"'):
        JobStatusProducer.from_env(NOBODY | environ)


def test_a_secret_is_masked_as_a_whole_word_only() -> None:
    error = KafkaError(KafkaError._AUTHENTICATION, "a bad password: a+b (abc)")
    assert failure_of(error, ["a", "a+b"]).text == "_AUTHENTICATION: *** bad password: *** (abc)"
    assert failure_of(error).text == "_AUTHENTICATION: a bad password: a+b (abc)"


def test_a_password_before_a_brokers_name_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    jobs = JobStatusProducer.from_env({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "somebody:hunter2@nowhere.invalid:1"})
    jobs.update_job_status("a", "ok")
    deadline = time.monotonic() + 60
    while "Failed to resolve" not in caplog.text and time.monotonic() < deadline:
        jobs.flush(0.05)
    with pytest.raises(UndeliveredError) as found:
        jobs.close(0)
    assert "Failed to resolve" in caplog.text
    assert "hunter2" not in caplog.text + str(found.value)
