"""Every metric of the consumer, declared once, with its type and meaning; docs/metrics.md is made from this file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000)
WRITE_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one consumer, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # what was written
        self.events = self._counter("events", "events that were written or were stale, by outcome", ["outcome"])
        self.stale = self._counter("stale_events", "events that changed nothing, by reason", ["reason"])
        self.dead_letters = self._counter(
            "dead_letters", "dead letters that the broker acknowledged, by stage and reason", ["stage", "reason"]
        )
        self.unreadable_headers = self._counter(
            "unreadable_headers", "record headers that were ignored because their names are not UTF-8"
        )
        self.batches = self._counter("batches", "batches written")
        self.statements = self._counter("statements", "SQL statements that wrote rows")
        self.batch_events = self._histogram("batch_events", "events per batch", BATCH_BUCKETS)
        self.write_seconds = self._histogram("write_seconds", "seconds per write of a batch", WRITE_BUCKETS)
        self.last_write = self._gauge(
            "last_write_timestamp_seconds", "the time of the last written batch, in seconds since 1970-01-01 UTC"
        )
        self.overdue = self._gauge(
            "overdue_jobs",
            "jobs whose last event is older than the deadline of their status (JOBSTATUS_DEADLINES); only the member "
            "with partition 0 counts them",
            ["status"],
        )
        # the user's own table
        self.target_rows = self._counter(
            "target_rows",
            "rows of the target, by outcome: written, inserted, parked (it waits), not_ours (the key is NULL), held (a "
            "BEFORE trigger left it as it was)",
            ["outcome"],
        )
        self.target_waiting = self._gauge("target_waiting_jobs", "jobs that wait for their row in the target")
        self.target_oldest_waiting = self._gauge(
            "target_oldest_waiting_seconds", "seconds for which the oldest of these jobs has been waiting"
        )
        # the membership in the group, and the connections
        self.commits = self._gauge("commits", "offset commits since the start, by outcome", ["outcome"])
        self.rebalances = self._gauge("rebalances", "times that partitions were assigned, revoked or lost")
        self.partitions = self._gauge("assigned_partitions", "partitions that are assigned to this consumer")
        self.lag = self._gauge("lag_events", "events of the log that are not written yet, by partition", ["partition"])
        self.oldest_unwritten = self._gauge(
            "oldest_unwritten_seconds", "age of the oldest event of the log that is not written yet, in seconds"
        )
        self.waiting = self._gauge(
            "waiting_seconds",
            "seconds for which the writer has been waiting for the database or the broker; 0 if it is not waiting",
        )
        self.connections = self._gauge("database_connections", "database connections made since the start")

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"jobstatus_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"jobstatus_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"jobstatus_{name}", meaning, buckets=buckets, registry=self.registry)
