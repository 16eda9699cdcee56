"""The types of fixtures that are functions, for annotations in tests."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from jobstatus_local.postgres import LocalPostgres
from support.deployment import Deployment


class MakeTopic(Protocol):
    def __call__(self, partitions: int = 1, **config: object) -> str:
        """Create a topic and return its name; `retention_ms=1000` sets Kafka's `retention.ms`."""


class OwnServer(Protocol):
    def __call__(self, partitions: int = 4) -> AbstractContextManager[tuple[LocalPostgres, Deployment]]:
        """A PostgreSQL of the test's own, and a deployment on it."""
