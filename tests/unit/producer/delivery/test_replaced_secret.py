"""A password that is replaced in its file: the next error of the client makes a new client, which logs in with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobstatus_producer import ProducerSettings
from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.kafka_client import KafkaClient
from jobstatus_producer.delivery.transport import Failure
from support.memory_transport import MemoryLog


def test_a_client_is_made_again_once_the_file_with_its_password_has_changed(tmp_path: Path) -> None:
    file, log = tmp_path / "password", MemoryLog()
    file.write_text("the-first\n")
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JOBSTATUS_KAFKA_SASL_PASSWORD_FILE": str(file),
    }
    passwords: list[str] = []
    errors: list[Any] = []

    def opened(topic: str, properties: Any, max_records: int, on_error: Any) -> Any:
        passwords.append(properties["sasl.password"])
        errors.append(on_error)
        return log.open(topic, properties, max_records, on_error)

    client = KafkaClient(ProducerSettings.from_env(environ), Acks(), opened)
    errors[-1](Failure("_AUTHENTICATION: refused"))
    client.renew_if_dead()
    assert passwords == ["the-first"], "the same password again would be refused again"
    file.write_text("the-second\n")
    errors[-1](Failure("_AUTHENTICATION: refused"))
    client.renew_if_dead()
    client.renew_if_dead()
    assert passwords == ["the-first", "the-second"]
