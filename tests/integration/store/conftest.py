"""A fresh managed table in a schema of the test's own, a store on it, and a second connection to look with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from jobstatus_consumer.store import Store, migrate
from jobstatus_local.postgres import LocalPostgres
from psycopg.rows import TupleRow
from support.opened import Opened

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_database(postgres: LocalPostgres) -> Iterator[str]:
    """One database for all tests here: a schema is made thirty times faster than a database."""
    name = "store_tests"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def empty_url(shared_database: str) -> Iterator[str]:
    """A URL whose sessions see an empty schema that no other test has."""
    schema = f"test_{next(_numbers)}"
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{shared_database}?options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def url(empty_url: str) -> str:
    """A URL whose sessions see the managed table `jobs`."""
    migrate(empty_url, "jobs")
    return empty_url


@pytest.fixture
def opened() -> Opened:
    """The connections that the store has opened."""
    return Opened()


@pytest.fixture
def store(url: str, opened: Opened) -> Iterator[Store]:
    store = Store(url, "jobs", opener=opened)
    store.connect()
    yield store
    store.close()


@pytest.fixture
def database(url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """Somebody else's connection."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
