"""What the commands say where a schema registry does not do what they ask."""

from __future__ import annotations

import pytest
from confluent_kafka.schema_registry.error import SchemaRegistryError
from jobstatus_consumer.errors import RegistryAwayError
from jobstatus_consumer.registry import register, state_of
from jobstatus_schemas.registry import client as module
from jobstatus_schemas.registry.settings import RegistrySettings

REGISTRY = RegistrySettings(url="http://localhost:1")


class Refusing:
    """A client of a registry that answers every question with the same error."""

    error: Exception

    def __init__(self, _configuration: object) -> None:
        self.register_schema = self.get_latest_version = self._refuse

    def _refuse(self, *_: object) -> None:
        raise self.error

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (SchemaRegistryError(401, 40101, ""), "correct JOBSTATUS_SCHEMA_REGISTRY_USER_INFO or "),
        (SchemaRegistryError(403, 40301, ""), "this login may not {} there: give it the right, or use another login"),
        (SchemaRegistryError(422, 42205, ""), "look at the registry's mode"),
        (SchemaRegistryError(409, 409, ""), "look at the registry's mode"),
        (SchemaRegistryError(500, 50001, ""), "try again when it answers"),
        (ConnectionRefusedError(), "try again when it answers"),
    ],
)
def test_each_refusal_has_its_own_remedy(error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refusing, "error", error, raising=False)
    monkeypatch.setattr(module, "SchemaRegistryClient", Refusing)
    with pytest.raises(RegistryAwayError) as caught:
        register(REGISTRY, "events-value")
    assert f"Nothing was changed; {remedy.format('write')}" in str(caught.value)
    with pytest.raises(RegistryAwayError) as caught:
        state_of(REGISTRY, "events-value")
    assert f"Nothing was changed; {remedy.format('read')}" in str(caught.value)
