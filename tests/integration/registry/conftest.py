"""One real schema registry for all tests of this folder; `support/schedule.py` gives them to one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.apicurio import Registry
from support.registry_gate import Gate


@pytest.fixture(scope="package")
def registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    found = Registry(tmp_path_factory.mktemp("registry"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture
def registry(registry_server: Registry) -> Registry:
    """Running, whatever the test before did with it."""
    registry_server.start()
    return registry_server


@pytest.fixture
def gate(registry: Registry) -> Iterator[Gate]:
    """The same registry behind a gate."""
    found = Gate(registry.url)
    yield found
    found.close()
