"""A producer's numbers for Prometheus. Needs the package `prometheus-client`, which the rest of the producer does not.

from prometheus_client import REGISTRY
from jobstatus_producer.prometheus import ProducerCollector
REGISTRY.register(ProducerCollector(jobs))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobstatus_schemas.built import build_labels
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from jobstatus_producer.client import JobStatusProducer
from jobstatus_producer.delivery import Stats

LABELS: Final = ("topic",)
OLDEST: Final = "oldest_undelivered_seconds"
COUNTERS: Final = {
    "accepted": "events that a call took",
    "delivered": "events that the broker acknowledged",
    "drained": "events acknowledged after they had waited in the backlog or the spool",
    "spooled": "events written to the spool",
    "refused": "events that the broker refuses for their own content",
    "rejected": "events not accepted because there was no room",
    "failed": "sendings that failed and are repeated",
}
GAUGES: Final = {
    "taken_over": "events in the spools of processes that are gone, which are this one's now",
    "queue_depth": "events in memory, not yet acknowledged",
    "spool_depth": "events in the spool",
    OLDEST: "age of the oldest event not yet acknowledged",
}
PREFIX: Final = "jobstatus_producer_"
BUILD: Final = "1; the version of jobstatus that runs"
"""What `jobstatus_producer_build_info` means. Its labels are `version` and `built`; it has no topic."""


class ProducerCollector(Collector):
    """Reads `stats()` at each scrape, and costs nothing between scrapes.

    A registry takes each metric's name once, so all producers of a process go into one collector. The label is the
    topic; the numbers of several producers of one topic are added up.
    """

    def __init__(self, *producers: JobStatusProducer) -> None:
        self._producers = producers

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        moments: dict[str, list[Stats]] = {}
        for producer in self._producers:
            moments.setdefault(producer.settings.topic, []).append(producer.stats())
        families: list[CounterMetricFamily | GaugeMetricFamily] = [
            *(CounterMetricFamily(PREFIX + name, text, labels=LABELS) for name, text in COUNTERS.items()),
            *(GaugeMetricFamily(PREFIX + name, text, labels=LABELS) for name, text in GAUGES.items()),
        ]
        for family, name in zip(families, (*COUNTERS, *GAUGES), strict=True):
            together = max if name == OLDEST else sum
            for topic, stats in moments.items():
                family.add_metric((topic,), together([getattr(each, name) for each in stats]))
            yield family
        yield InfoMetricFamily(PREFIX + "build", BUILD, build_labels())
