"""The kinds of metrics that prometheus_client lacks: gauges that are read at a scrape, and a histogram of a batch."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
"""The values of a series' labels, in the order in which the metric declares them."""


class LiveGauge(Collector):
    """A gauge whose series are what `read` returns at the moment of a scrape.

    So no series outlives what it is about, a value is true while the loop is blocked, and no scrape falls between two
    changes. `read` is called from the threads of the HTTP server; a metric without labels has the key `()`.
    """

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self.read: Callable[[], Mapping[Labels, float]] = dict

    def show(self, values: Mapping[Labels, float]) -> None:
        """Show these series, and no others, from now on. May be called from any thread."""
        self.read = lambda: values

    def describe(self) -> Iterator[Metric]:
        """The family without series."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """The family with the series of this moment."""
        family = self._family()
        for labels, value in self.read().items():
            family.add_metric(labels, value)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._name, self._meaning, labels=self._labels)


class AgeHistogram(Collector):
    """A histogram of ages, which takes all times of a batch at once: one by one would cost a drain a tenth.

    `bounds` are in seconds. Safe to use from several threads.
    """

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds: Final = tuple(bounds)
        self._micros: Final = [int(bound * 1e6) for bound in bounds]
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0
        self._lock = threading.Lock()

    def observe(self, times: Sequence[int], now: int) -> None:
        """Add the ages at `now` of what happened at `times`; both are in microseconds since 1970."""
        if not times:
            return
        ordered, micros, counts = sorted(times), self._micros, self._counts
        # the buckets of the newest and of the oldest, which are usually the same one or neighbours
        first, last = bisect_left(micros, now - ordered[-1]), bisect_left(micros, now - ordered[0])
        left = len(ordered)
        with self._lock:
            self._sum += max(0, now * left - sum(ordered))
            for place in range(first, last):
                older = bisect_left(ordered, now - micros[place])
                counts[place] += left - older
                left = older
            counts[last] += left

    def describe(self) -> Iterator[Metric]:
        """The family without series."""
        yield HistogramMetricFamily(self._name, self._meaning)

    def collect(self) -> Iterator[Metric]:
        """The family as it is now."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        yield HistogramMetricFamily(
            self._name, self._meaning, buckets=list(zip(bounds, accumulate(counts), strict=True)), sum_value=total / 1e6
        )


class Labelled(Collector):
    """Everything in `inner`, with the same further labels on every series."""

    def __init__(self, inner: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self._inner = inner
        self._labels = labels

    def describe(self) -> Iterator[Metric]:
        """The families, for a registry that has to know their names."""
        return iter(self._inner.collect())

    def collect(self) -> Iterator[Metric]:
        """The families with the labels. The time at which a counter was made is left out: Prometheus ignores it."""
        for family in self._inner.collect():
            family.samples = [
                sample._replace(labels={**self._labels, **sample.labels})
                for sample in family.samples
                if not sample.name.endswith("_created")
            ]
            yield family
