"""The real servers of the integration tests: one broker and one database for the session, fresh names for each test.

A server that cannot be fetched or started stops the session (`support/parts.py`); it never skips a test.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import PortLease
from jobstatus_local.postgres import LocalPostgres
from support.breakable import Breakable
from support.deployment import Deployment, deployment
from support.fixture_types import MakeTopic
from support.parts import started
from support.shared_broker import SharedBroker, session_broker, shared_broker

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[LocalKafka | SharedBroker]:
    """One real broker. Tests that stop or kill a broker start their own."""
    shared = shared_broker(request.config)
    if shared is not None:
        yield shared
        return
    with started("a real Apache Kafka", session_broker()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """One real PostgreSQL. Tests that stop or kill the server start their own, which keeps what it has acknowledged."""
    with started("a real PostgreSQL", LocalPostgres(settings={"fsync": "off", "full_page_writes": "off"})) as server:
        yield server


@pytest.fixture(scope="session")
def admin(kafka: LocalKafka) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers})


@pytest.fixture
def make_topic(admin: AdminClient) -> MakeTopic:
    """Create topics that no other test uses."""

    def make(partitions: int = 1, **config: object) -> str:
        name = f"test-{next(_numbers)}-{uuid4().hex[:8]}"
        properties = {key.replace("_", "."): str(value) for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=properties)
        admin.create_topics([topic], operation_timeout=20)[name].result(timeout=30)
        return name

    return make


@pytest.fixture
def leased_port() -> Iterator[int]:
    """A port for a server of the test's own, which no other program takes before."""
    with PortLease() as lease:
        yield lease.port


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """A fresh topic of four partitions."""
    return make_topic(partitions=4)


@pytest.fixture
def group_id() -> str:
    """A consumer group that no other test uses."""
    return f"group-{next(_numbers)}-{uuid4().hex[:8]}"


@pytest.fixture
def database_url(postgres: LocalPostgres) -> Iterator[str]:
    """A fresh database for this test only; dropped afterwards, even if sessions are still connected."""
    name = f"test_{next(_numbers)}_{uuid4().hex[:8]}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def deployed(kafka: LocalKafka, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics, tables and a group of this test's own, on the session's servers."""
    with deployment(kafka.bootstrap_servers, database_url, tmp_path) as found:
        yield found


@pytest.fixture(scope="session")
def breakable_broker() -> Iterator[Breakable]:
    """One broker for all tests that break one; `support/schedule.py` gives them to one process."""
    found = Breakable()
    with started("a real Apache Kafka", found.kafka):
        yield found
        found.proxy.close()


@pytest.fixture
def breakable(breakable_broker: Breakable) -> Iterator[Breakable]:
    """Every test leaves it whole."""
    yield breakable_broker
    breakable_broker.proxy.heal()
    breakable_broker.kafka.nodes[0].start()
