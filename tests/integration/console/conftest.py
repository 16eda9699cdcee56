"""One console for the tests of a module: over one deployment, on the session's broker and database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from jobstatus_consumer.console import Options
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from support.console import Console, running_console
from support.deployment import Deployment, deployment

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shown(kafka: LocalKafka, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The deployment that the module's console shows."""
    name = f"console_{next(_numbers)}_{tmp_path_factory.getbasetemp().name.replace('-', '_')}"
    url = postgres.create_database(name)
    with deployment(kafka.bootstrap_servers, url, tmp_path_factory.mktemp("console")) as found:
        yield found
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def console(shown: Deployment) -> Iterator[Console]:
    """A console over `shown`, which needs no log-in."""
    with running_console(shown, Options(show_values=True, allow_actions=True)) as found:
        yield found
