from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobstatus_local.kafka import LocalKafka
from support.deployment import Deployment, deployment


@pytest.fixture
def deployed(kafka: LocalKafka, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics, tables and a group of this test's own."""
    with deployment(kafka.bootstrap_servers, database_url, tmp_path) as found:
        yield found
