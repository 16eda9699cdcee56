"""A producer's numbers for Prometheus; needs `prometheus-client`, which nothing else of the producer does.

from prometheus_client import REGISTRY
from jobstatus_producer.prometheus import ProducerCollector
REGISTRY.register(ProducerCollector(jobs))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobstatus_producer.client import JobStatusProducer

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
    "queue_depth": "events in memory, not yet acknowledged",
    "spool_depth": "events in the spool",
    "oldest_undelivered_seconds": "age of the oldest event not yet acknowledged",
}
PREFIX: Final = "jobstatus_producer_"


class ProducerCollector(Collector):
    """Reads `stats()` at each scrape; costs nothing between scrapes."""

    def __init__(self, producer: JobStatusProducer) -> None:
        self._producer = producer

    def collect(self) -> Iterator[Metric]:
        """This moment's metrics."""
        stats = self._producer.stats()
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(PREFIX + name, text, value=getattr(stats, name))
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(PREFIX + name, text, value=getattr(stats, name))
