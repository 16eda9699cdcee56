"""How a process declares its metrics: each one once, with its type and meaning, for the scrape and for the docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jobstatus_schemas.built import build_labels
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector

from jobstatus_consumer.telemetry.families import Labelled, LiveGauge


class Described(NamedTuple):
    """One metric for the documentation."""

    name: str
    type: str
    labels: Sequence[str]
    meaning: str


class Declaring:
    """The metrics of one process. Each has the labels `topic` and `group` beside its own.

    `registry` is for the scrape; it also has the process's memory, time and files.
    """

    def __init__(self, topic: str, group: str) -> None:
        self._inner = CollectorRegistry()
        self.described: list[Described] = []
        self.registry = CollectorRegistry()
        self.registry.register(Labelled(self._inner, {"topic": topic, "group": group}))
        ProcessCollector(registry=self.registry)

    def _named(self, name: str, kind: str, labels: Sequence[str], meaning: str) -> str:
        self.described.append(Described(f"jobstatus_{name}", kind, labels, meaning))
        return meaning

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self._named(f"{name}_total", "counter", labels, meaning)
        return Counter(f"jobstatus_{name}", meaning, labels, registry=self._inner)

    def _gauge(self, name: str, meaning: str, *labels: str) -> LiveGauge:
        found = LiveGauge(f"jobstatus_{name}", self._named(name, "gauge", labels, meaning), labels)
        self._inner.register(found)
        return found

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        self._named(name, "histogram", (), meaning)
        return Histogram(f"jobstatus_{name}", meaning, buckets=buckets, registry=self._inner)

    def _build(self, name: str, meaning: str) -> None:
        """Declare `jobstatus_<name>_info`, which is 1 and has the version and `compiled` or `pure` as its labels."""
        labels = build_labels()
        named = self._named(f"{name}_info", "gauge", tuple(labels), meaning)
        Info(f"jobstatus_{name}", named, registry=self._inner).info(labels)
