"""What the Kafka library tells with every try to connect is said once, and once a minute while it lasts."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError
from jobstatus_consumer.kafka.client import LibraryLines, QuietErrors


def line(text: str) -> logging.LogRecord:
    return logging.LogRecord("jobstatus.librdkafka", logging.WARNING, __file__, 1, text, None, None)


def test_lines_that_tell_nothing_new_are_left_out() -> None:
    lines = LibraryLines()
    texts = [
        "FAIL [jobstatus#producer-1] [thrd:x]: x: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
        "CONFWARN [jobstatus#consumer-2] [thrd:app]: Configuration property x is a producer property",
        "PARTCNT [jobstatus#producer-1] [thrd:main]: Topic job-status (id x) partition count changed from 6 to 8",
        "MAXPOLL [jobstatus#consumer-2] [thrd:main]: Application maximum poll interval exceeded",
        "MAXPOLL [jobstatus#consumer-2] [thrd:main]: Application maximum poll interval exceeded",
        "GETPID [jobstatus#producer-3] [thrd:main]: Failed to acquire idempotence PID",
    ]
    passed_on = [text.split()[0] for text in texts if lines.filter(line(text))]
    assert passed_on == ["MAXPOLL", "GETPID"]


class Lines(logging.Handler):
    """Collects lines. `caplog` misses them once a command has set the loggers up in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    logger, lines = logging.getLogger("jobstatus.kafka"), Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.WARNING)
    yield lines.found
    logger.setLevel(level)
    logger.removeHandler(lines)


def test_errors_are_said_once_with_the_reason_and_what_is_final_is_kept(logged: list[str]) -> None:
    errors = QuietErrors()
    refused = KafkaError(KafkaError._TRANSPORT, "127.0.0.1:1: Connection refused")
    all_down = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
    for _ in range(3):
        errors(refused)
        errors(all_down)
    assert logged == ["Kafka: _TRANSPORT: 127.0.0.1:1: Connection refused; the client goes on trying"]
    assert errors.text == "_TRANSPORT: 127.0.0.1:1: Connection refused"
    assert errors.fatal is None
    final = KafkaError(KafkaError._AUTHENTICATION, "wrong password")
    errors(final)
    assert errors.fatal is final
