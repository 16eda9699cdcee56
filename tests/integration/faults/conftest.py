from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from support.deployment import Deployment, deployment
from support.fixture_types import OwnServer


@pytest.fixture
def own_server(kafka: LocalKafka, tmp_path: Path) -> OwnServer:
    """A PostgreSQL of the test's own, to be stopped, restored and cut at will."""

    @contextmanager
    def make(partitions: int = 4) -> Iterator[tuple[LocalPostgres, Deployment]]:
        with (
            LocalPostgres() as postgres,
            deployment(kafka.bootstrap_servers, postgres.url, tmp_path, partitions=partitions) as found,
        ):
            yield postgres, found

    return make
