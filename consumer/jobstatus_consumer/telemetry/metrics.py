"""Every metric this program has, declared once, with its type and meaning; docs/metrics.md is made from this file."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000)
WRITE_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """One set of metrics for one consumer, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.events = Counter(
            "jobstatus_events", "events written or found stale, by outcome", ["outcome"], registry=registry
        )
        self.stale = Counter(
            "jobstatus_stale_events", "events that changed nothing, by reason", ["reason"], registry=registry
        )
        self.dead_letters = Counter(
            "jobstatus_dead_letters",
            "dead letters acknowledged, by stage and reason",
            ["stage", "reason"],
            registry=registry,
        )
        self.batches = Counter("jobstatus_batches", "batches written", registry=registry)
        self.statements = Counter("jobstatus_statements", "statements that wrote", registry=registry)
        self.batch_events = Histogram(
            "jobstatus_batch_events", "events in a batch", buckets=BATCH_BUCKETS, registry=registry
        )
        self.write_seconds = Histogram(
            "jobstatus_write_seconds", "seconds that writing a batch took", buckets=WRITE_BUCKETS, registry=registry
        )
        self.commits = Gauge("jobstatus_commits", "offset commits so far, by outcome", ["outcome"], registry=registry)
        self.rebalances = Gauge("jobstatus_rebalances", "times partitions came or went", registry=registry)
        self.partitions = Gauge("jobstatus_assigned_partitions", "partitions this member has", registry=registry)
        self.lag = Gauge(
            "jobstatus_lag_events", "events not yet safe to commit, by partition", ["partition"], registry=registry
        )
        self.waiting = Gauge(
            "jobstatus_waiting_seconds", "how long the writer has been waiting; 0 if not", registry=registry
        )
        self.connections = Gauge(
            "jobstatus_database_connections", "database connections made so far", registry=registry
        )
        self.last_write = Gauge(
            "jobstatus_last_write_timestamp_seconds", "when the last batch was written", registry=registry
        )
