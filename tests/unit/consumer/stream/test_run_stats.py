"""The summary of a run: what its rate is measured over."""

from __future__ import annotations

import pytest
from jobstatus_consumer.records import Batch, Projected, RawRecord, Rejected, Written
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.tasks import BatchWritten
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


def test_events_of_a_lower_attempt_are_summed_up_in_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    stats = RunStats(Metrics(), lambda: now)

    def wrote(lower: int) -> list[str]:
        caplog.clear()
        stats.wrote(BatchWritten(Batch((), (), ()), Written(0, stale={"lower_attempt": lower}), 0))
        return [record.getMessage().split()[0] for record in caplog.records if record.levelname == "WARNING"]

    assert [wrote(2), wrote(3), wrote(0)] == [["2"], [], []]
    now = 1000.0
    assert [wrote(1), wrote(5)] == [["4"], []]
    caplog.clear()
    stats.flush()
    assert "5 events had a lower attempt" in caplog.text


def test_what_is_done_to_the_target_is_counted_by_outcome() -> None:
    metrics = Metrics()
    stats = RunStats(metrics)
    stats.projected(Projected(written=3, inserted=2, parked=1, arrived=9, not_ours=4, held=5))
    stats.projected(Projected(written=1))

    def rows(outcome: str) -> float | None:
        labels = {"topic": "", "group": "", "outcome": outcome}
        return metrics.registry.get_sample_value("jobstatus_target_rows_total", labels)

    outcomes = ("written", "inserted", "parked", "not_ours", "held")
    assert [rows(outcome) for outcome in outcomes] == [4, 2, 1, 4, 5]
