"""Every metric of the consumer, declared once, with its type and meaning; docs/metrics.md is made from this file."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000)
WRITE_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one consumer, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.events = Counter(
            "jobstatus_events", "events that were written or were stale, by outcome", ["outcome"], registry=registry
        )
        self.stale = Counter(
            "jobstatus_stale_events", "events that changed nothing, by reason", ["reason"], registry=registry
        )
        self.dead_letters = Counter(
            "jobstatus_dead_letters",
            "dead letters that the broker acknowledged, by stage and reason",
            ["stage", "reason"],
            registry=registry,
        )
        self.batches = Counter("jobstatus_batches", "batches written", registry=registry)
        self.statements = Counter("jobstatus_statements", "SQL statements that wrote rows", registry=registry)
        self.batch_events = Histogram(
            "jobstatus_batch_events", "events per batch", buckets=BATCH_BUCKETS, registry=registry
        )
        self.write_seconds = Histogram(
            "jobstatus_write_seconds", "seconds per write of a batch", buckets=WRITE_BUCKETS, registry=registry
        )
        self.commits = Gauge(
            "jobstatus_commits", "offset commits since the start, by outcome", ["outcome"], registry=registry
        )
        self.rebalances = Gauge(
            "jobstatus_rebalances", "times that partitions were assigned, revoked or lost", registry=registry
        )
        self.partitions = Gauge(
            "jobstatus_assigned_partitions", "partitions that are assigned to this consumer", registry=registry
        )
        self.lag = Gauge(
            "jobstatus_lag_events",
            "events of the log that are not written yet, by partition",
            ["partition"],
            registry=registry,
        )
        self.waiting = Gauge(
            "jobstatus_waiting_seconds",
            "seconds for which the writer has been waiting for the database or the broker; 0 if it is not waiting",
            registry=registry,
        )
        self.connections = Gauge(
            "jobstatus_database_connections", "database connections made since the start", registry=registry
        )
        self.last_write = Gauge(
            "jobstatus_last_write_timestamp_seconds",
            "the time of the last written batch, in seconds since 1970-01-01 UTC",
            registry=registry,
        )
