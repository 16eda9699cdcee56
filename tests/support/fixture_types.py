"""The types of fixtures that are functions, for annotations in tests."""

from __future__ import annotations

from typing import Protocol


class MakeTopic(Protocol):
    def __call__(self, partitions: int = 1, **config: object) -> str:
        """Create a topic and return its name; `retention_ms=1000` sets Kafka's `retention.ms`."""
