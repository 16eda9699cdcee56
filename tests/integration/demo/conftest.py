"""The database that all tests of the kept demo use."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from jobstatus_local.postgres import LocalPostgres


@pytest.fixture(scope="module")
def module_database_url(postgres: LocalPostgres) -> Iterator[str]:
    name = f"demo_{uuid4().hex[:8]}"
    yield postgres.create_database(name)
    postgres.drop_database(name)
