"""What a run did. The log line, the metric and the number in the summary come from the same place."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from jobstatus_consumer.records import Projected
from jobstatus_consumer.stream.batch_lines import BatchLines
from jobstatus_consumer.stream.outage import LOG_AGAIN_SECONDS
from jobstatus_consumer.stream.tasks import BatchWritten
from jobstatus_consumer.telemetry.metrics import TARGET_ROWS, Metrics
from jobstatus_consumer.telemetry.throttle import Throttle
from jobstatus_consumer.words import counted

logger = logging.getLogger("jobstatus.consumer")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: counts of events, the seconds of the run, and events per second while there were events."""

    events: int
    applied: int
    stale: int
    merged: int
    dead_letters: int
    batches: int
    statements: int
    seconds: float
    events_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """The summary as `--json` prints it."""
        return asdict(self)


@dataclass(slots=True)
class Totals:
    """What this run has done so far, in numbers of events; `stale` by reason."""

    events: int = 0
    applied: int = 0
    merged: int = 0
    stale: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    batches: int = 0
    statements: int = 0

    def summary(self, seconds: float, busy: float) -> Summary:
        """The summary of a run that took `seconds`, of which `busy` were from its first event to its last write."""
        return Summary(
            self.events,
            self.applied,
            sum(self.stale.values()),
            self.merged,
            self.dead_letters,
            self.batches,
            self.statements,
            round(seconds, 3),
            round(self.events / busy, 1) if busy > 0 else 0.0,
        )


class RunStats:
    """Counts what is written, in the summary and in the metrics, and logs it."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lines = BatchLines()
        # events of a lower attempt than their row since the last line about them
        self._lower = 0
        self._lower_lines = Throttle(LOG_AGAIN_SECONDS, clock)
        self._began: float | None = None
        self._last_write = 0.0
        self._totals = Totals()

    def began(self) -> None:
        """An event was read. The first call counts: the rate does not include the start and the wait for events."""
        if self._began is None:
            self._began = self._clock()

    def summary(self, seconds: float) -> Summary:
        """The summary of a run that took `seconds`."""
        return self._totals.summary(seconds, 0.0 if self._began is None else self._last_write - self._began)

    def flush(self) -> None:
        """Write the log lines of what has none yet."""
        self._lines.flush()
        self._log_lower()

    def wrote(self, result: BatchWritten) -> None:
        """A batch is written and its dead letters are acknowledged."""
        self._add_up(result)
        self._measure(result)
        written = result.written
        updated = len(result.batch.events) - len(written.rejected)
        self._lines.wrote(updated, written.seconds, _remarks(result))
        self._lower += written.stale.get("lower_attempt", 0)
        if self._lower and self._lower_lines.allows():
            self._log_lower()

    def _log_lower(self) -> None:
        lower, self._lower = self._lower, 0
        if lower:
            logger.warning(
                "%s had a lower attempt than their row and changed nothing; does a worker's counter start again?",
                counted(lower, "event"),
                extra={"events": lower, "reason": "lower_attempt"},
            )

    def _add_up(self, result: BatchWritten) -> None:
        written, totals = result.written, self._totals
        self._last_write = self._clock()
        totals.events += result.batch.records
        totals.applied += written.applied
        totals.merged += written.merged
        totals.dead_letters += result.dead_letters
        totals.batches += 1
        totals.statements += written.statements
        for reason, count in written.stale.items():
            totals.stale[reason] = totals.stale.get(reason, 0) + count

    def _measure(self, result: BatchWritten) -> None:
        written, metrics = result.written, self._metrics
        metrics.events.labels("applied").inc(written.applied)
        metrics.events.labels("merged").inc(written.merged)
        for reason, count in written.stale.items():
            metrics.events.labels("stale").inc(count)
            metrics.stale.labels(reason).inc(count)
        metrics.events.labels("dead_letter").inc(result.dead_letters)
        for item in (*result.batch.rejected, *written.rejected):
            metrics.dead_letters.labels(item.stage, item.reason).inc()
        if written.projected is not None:
            self.projected(written.projected)
        metrics.batches.inc()
        metrics.statements.inc(written.statements)
        metrics.batch_events.observe(result.batch.records)
        metrics.write_seconds.observe(written.seconds)
        now = time.time()
        # those that were rejected are left in: they are few, and a look at each event would cost more
        metrics.freshness.observe([event.time for event in result.batch.events], int(now * 1e6))
        metrics.last_write.show({(): now})

    def projected(self, found: Projected) -> None:
        """Count what was done to the target. May be called from another thread."""
        rows = self._metrics.target_rows
        for outcome in TARGET_ROWS:
            rows.labels(outcome).inc(getattr(found, outcome))

    def tick(self) -> None:
        """Write the log lines that are due; to be called about every second."""
        self._lines.tick()


def _remarks(result: BatchWritten) -> dict[str, int]:
    found = {f"stale: {reason}": count for reason, count in result.written.stale.items()}
    if result.dead_letters:
        reasons = sorted({item.reason for item in (*result.batch.rejected, *result.written.rejected)})
        found[f"dead letter: {', '.join(reasons)}"] = result.dead_letters
    return found
