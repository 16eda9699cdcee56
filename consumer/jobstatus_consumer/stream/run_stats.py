"""What was done, told once: the log line, the metric and the summary's number come from the same place."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobstatus_consumer.kafka.group_consumer import GroupConsumer
from jobstatus_consumer.stream.writer import Done, Writer
from jobstatus_consumer.telemetry.metrics import Metrics

logger = logging.getLogger("jobstatus.consumer")


@dataclass(slots=True)
class Totals:
    """What this run did, in numbers of events; `stale` by reason."""

    events: int = 0
    applied: int = 0
    merged: int = 0
    stale: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    batches: int = 0
    statements: int = 0


class RunStats:
    """Keeps the run's totals and the metrics in step with the log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.totals = Totals()

    def wrote(self, done: Done) -> None:
        """A batch is written and its dead letters are acknowledged."""
        self._add_up(done)
        self._measure(done)
        written = done.written
        updated = len(done.batch.events) - len(written.rejected)
        logger.info("Batch updated %d job statuses in %.3fs%s", updated, written.seconds, _remarks(done))
        lower = written.stale.get("lower_attempt", 0)
        if lower:
            logger.warning(
                "%d events had a lower attempt than their row and changed nothing; "
                "does a worker's counter start again?",
                lower,
            )

    def _add_up(self, done: Done) -> None:
        written, totals = done.written, self.totals
        totals.events += done.batch.records
        totals.applied += written.applied
        totals.merged += written.merged
        totals.dead_letters += done.dead_letters
        totals.batches += 1
        totals.statements += written.statements
        for reason, count in written.stale.items():
            totals.stale[reason] = totals.stale.get(reason, 0) + count

    def _measure(self, done: Done) -> None:
        written, metrics = done.written, self._metrics
        metrics.events.labels("applied").inc(written.applied)
        metrics.events.labels("merged").inc(written.merged)
        for reason, count in written.stale.items():
            metrics.events.labels("stale").inc(count)
            metrics.stale.labels(reason).inc(count)
        for item in (*done.batch.rejected, *written.rejected):
            metrics.dead_letters.labels(item.stage, item.reason).inc()
        metrics.batches.inc()
        metrics.statements.inc(written.statements)
        metrics.batch_events.observe(done.batch.records)
        metrics.write_seconds.observe(written.seconds)
        metrics.last_write.set_to_current_time()

    def observe(self, lag: Mapping[int, int], source: GroupConsumer, writer: Writer) -> None:
        """Set what is a state and not a count: lag by partition in offsets, commits, rebalances, waiting."""
        metrics = self._metrics
        metrics.lag.clear()
        for partition, offsets in lag.items():
            metrics.lag.labels(str(partition)).set(offsets)
        metrics.partitions.set(len(lag))
        metrics.rebalances.set(source.rebalances)
        for outcome, count in source.commits.by_outcome():
            metrics.commits.labels(outcome).set(count)
        metrics.connections.set(writer.connections)
        waiting = writer.waiting
        metrics.waiting.set(time.time() - waiting.since if waiting else 0)


def _remarks(done: Done) -> str:
    said = [f"{count} stale: {reason}" for reason, count in sorted(done.written.stale.items())]
    if done.dead_letters:
        reasons = sorted({item.reason for item in (*done.batch.rejected, *done.written.rejected)})
        said.append(f"{done.dead_letters} dead letters: {', '.join(reasons)}")
    return f" ({'; '.join(said)})" if said else ""
