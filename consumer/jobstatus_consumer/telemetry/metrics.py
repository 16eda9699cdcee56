"""Every metric of the consumer, declared once, with its type and meaning; docs/metrics.md is made from this file.

A counter or a histogram is added to where something happens. A gauge is read when Prometheus asks for it.
"""

from __future__ import annotations

from typing import Final

from jobstatus_consumer.telemetry.declaring import Declaring
from jobstatus_consumer.telemetry.families import AgeHistogram

BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000)
WRITE_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
AGE_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400)

OUTCOMES: Final = ("applied", "merged", "stale", "dead_letter")
STALE: Final = ("redelivered", "lower_attempt", "late", "other_log")
COMMITS: Final = ("committed", "refused", "failed")
TARGET_ROWS: Final = ("written", "inserted", "parked", "not_ours", "held")
WAITING_FOR: Final = ("database", "lock", "broker", "group", "registry", "none")
"""`lock`: another session has locked the table or a row. `group`: this member has no assignment. `registry`: the
schema registry has not been asked for a schema that the next event needs."""


class Metrics(Declaring):
    """The metrics of one consumer. Each has the labels `topic` and `group` beside its own."""

    def __init__(self, topic: str = "", group: str = "") -> None:
        super().__init__(topic, group)
        self._declare_written()
        self._declare_lag()
        self._declare_membership()
        self._declare_what_needs_a_person()
        self._declare_target()
        self._build("build", "1; the version of jobstatus that runs")
        self._start_at_zero()

    def _declare_written(self) -> None:
        """What was written."""
        self.events = self._counter("events", "events that were written, were stale, or became dead letters", "outcome")
        self.stale = self._counter("stale_events", "events that changed nothing, by reason", "reason")
        self.dead_letters = self._counter(
            "dead_letters", "dead letters that the broker acknowledged, by stage and reason", "stage", "reason"
        )
        self.unreadable_headers = self._counter(
            "unreadable_headers", "record headers that were ignored because their names are not UTF-8"
        )
        self.batches = self._counter("batches", "batches written")
        self.statements = self._counter("statements", "SQL statements that wrote rows")
        self.batch_events = self._histogram("batch_events", "events per batch", BATCH_BUCKETS)
        self.write_seconds = self._histogram("write_seconds", "seconds per write of a batch", WRITE_BUCKETS)
        self.freshness = AgeHistogram(
            "jobstatus_freshness_seconds",
            self._named("freshness_seconds", "histogram", (), "from an event's time to the commit of its row"),
            AGE_BUCKETS,
        )
        self._inner.register(self.freshness)
        self.last_write = self._gauge(
            "last_write_timestamp_seconds",
            "the time of the last written batch, in seconds since 1970-01-01 UTC; no series before the first one",
        )

    def _declare_lag(self) -> None:
        """How far the table is behind the log, and what for."""
        self.lag_events = self._gauge(
            "lag_events", "events of the log that are not written yet; the series of assigned partitions", "partition"
        )
        self.lag_seconds = self._gauge(
            "lag_seconds",
            "age of the oldest event that is not written yet, as far as it is known; 0 if all are written",
            "partition",
        )
        self.waiting_for = self._gauge(
            "waiting_for", "1 for what the consumer waits for now, 0 for everything else", "reason"
        )
        self.waiting_seconds = self._gauge(
            "waiting_seconds", "seconds for which the consumer has been waiting; 0 if it is not waiting"
        )

    def _declare_membership(self) -> None:
        """The membership in the group, and the connections."""
        self.partitions = self._gauge("assigned_partitions", "partitions that are assigned to this consumer")
        self.topic_partitions = self._gauge(
            "topic_partitions", "partitions that the topic has; no series before the broker's first answer"
        )
        self.rebalances = self._counter("rebalances", "times that partitions were assigned, revoked or lost")
        self.commits = self._counter("commits", "offset commits, by outcome", "outcome")
        self.brokers_reachable = self._gauge(
            "brokers_reachable",
            "brokers to which the consumer's Kafka client has a connection; it connects to those that it needs",
        )
        self.certificate_expiry = self._gauge(
            "certificate_expiry_timestamp_seconds",
            "when the certificate expires that the Kafka client in use shows to the brokers; no series without one in "
            "PEM",
        )
        self.connections = self._counter("database_connections", "database connections made")

    def _declare_what_needs_a_person(self) -> None:
        self.budget_used = self._gauge(
            "dead_letter_budget_used_ratio", "the used part of the budget of dead letters; at 1 the consumer stops"
        )
        self.open_letters = self._gauge(
            "open_dead_letters",
            "dead letters whose events would still change a row, of those that were read within 3 s; only the member "
            "with partition 0 counts them, every minute or less often",
        )
        self.overdue = self._gauge(
            "overdue_jobs",
            "jobs whose last event is older than the deadline of their status (JOBSTATUS_DEADLINES); only the member "
            "with partition 0 counts them",
            "status",
        )
        self.rows = self._gauge(
            "rows_estimated",
            "rows by status, as PostgreSQL's own statistics estimate them since the last ANALYZE; only the member with "
            "partition 0 reads them, and a rare status may be missing",
            "status",
        )

    def _declare_target(self) -> None:
        """The user's own table."""
        self.target_rows = self._counter(
            "target_rows",
            "rows of the target, by outcome: written, inserted, parked (it waits), not_ours (the key is NULL), held (a "
            "BEFORE trigger left it as it was)",
            "outcome",
        )
        self.target_waiting = self._gauge("target_waiting_jobs", "jobs that wait for their row in the target")
        self.target_oldest_waiting = self._gauge(
            "target_oldest_waiting_seconds", "seconds for which the oldest of these jobs has been waiting"
        )

    def _start_at_zero(self) -> None:
        """Make every series whose labels are known: a rate sees no first step of a series that appears with it."""
        known = (
            (self.events, OUTCOMES),
            (self.stale, STALE),
            (self.commits, COMMITS),
            (self.target_rows, TARGET_ROWS),
        )
        for counter, words in known:
            for word in words:
                counter.labels(word)
