"""The client of the schema registry: what it needs of confluent-kafka."""

from __future__ import annotations

import pytest
from jobstatus_schemas.registry import client as module
from jobstatus_schemas.registry.client import RegistryClient
from jobstatus_schemas.registry.settings import RegistrySettings


class WithoutClose:
    """The client of confluent-kafka 2.13.2 to 2.15: it is a context manager, and has no `close`."""

    open = 0

    def __init__(self, _configuration: object) -> None:
        WithoutClose.open += 1

    def __exit__(self, *_: object) -> None:
        WithoutClose.open -= 1


def test_a_client_without_a_method_to_close_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SchemaRegistryClient", WithoutClose)
    client = RegistryClient(RegistrySettings(url="http://localhost:1"))
    client.connect()
    assert WithoutClose.open == 1
    client.close()
    assert WithoutClose.open == 0
