"""The summary of a run: what its rate is measured over."""

from __future__ import annotations

from jobstatus_consumer.records import Batch, RawRecord, Rejected, Written
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.writer import BatchWritten
from jobstatus_consumer.telemetry.metrics import Metrics


def test_the_rate_is_that_between_the_first_event_and_the_last_write() -> None:
    times = iter((100.0, 101.0, 102.0))
    stats = RunStats(Metrics(), lambda: next(times))
    rejected = [Rejected(RawRecord("t", 0, 0, 0, None, b"", (), "t/id/0"), "decode", "empty", "")] * 40
    stats.began()
    for _ in range(2):
        stats.began()
        stats.wrote(BatchWritten(Batch((), rejected, ()), Written(0), 40))
    summary = stats.summary(60.0)
    assert (summary.events, summary.seconds, summary.events_per_second) == (80, 60.0, 40.0)


def test_a_run_without_events_has_no_rate() -> None:
    assert RunStats(Metrics()).summary(3.0).events_per_second == 0
