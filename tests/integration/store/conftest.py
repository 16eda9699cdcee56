"""A fresh managed table in a database of the test's own, a store on it, and a second connection to look with."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from jobstatus_consumer.store import Store, migrate
from psycopg.rows import TupleRow


@pytest.fixture
def url(database_url: str) -> str:
    """The URL of a database with the managed table `jobs`."""
    migrate(database_url, "jobs")
    return database_url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url, "jobs")
    store.connect()
    yield store
    store.close()


@pytest.fixture
def database(url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """Somebody else's connection."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
