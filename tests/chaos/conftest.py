from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos.stage import Stage, open_stage


@pytest.fixture(scope="package")
def _servers() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


@pytest.fixture
def stage(_servers: Stage) -> Iterator[Stage]:
    """Three brokers, a database and a proxy, all well; every run has topics and a database of its own on them."""
    yield _servers
    _servers.whole()
