"""The old system's line stays, and a flood of it does not."""

from __future__ import annotations

import pytest
from jobstatus_consumer.stream.batch_lines import BatchLines


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "jobstatus.consumer")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_up_to_ten_batches_a_second_each_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    lines = BatchLines(clock)
    for _ in range(30):
        lines.wrote(50, 0.023, {})
        clock.now += 0.11
    assert caplog.messages == ["Batch updated 50 job statuses in 0.023s"] * 30
    assert (caplog.records[0].events, caplog.records[0].seconds) == (50, 0.023)  # type: ignore[attr-defined]


def test_above_ten_a_second_one_line_a_second_sums_them_up(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    lines = BatchLines(clock)
    for _ in range(1000):
        lines.wrote(50, 0.01, {"stale: late": 1})
        clock.now += 0.01
    lines.flush()
    assert len(caplog.messages) <= 10 + 11
    assert sum(int(text.split()[2]) for text in caplog.messages) == 50_000
    assert caplog.messages[15].startswith("Batch updated 5000 job statuses in 1.0")
    assert caplog.messages[15].endswith("s (100 batches; 100 stale: late)")


def test_when_it_is_quiet_again_each_batch_has_its_line_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    lines = BatchLines(clock)
    for _ in range(20):
        lines.wrote(50, 0.01, {})
    clock.now += 1
    lines.tick()
    clock.now += 1
    lines.tick()
    before = len(caplog.messages)
    lines.wrote(7, 0.01, {})
    assert caplog.messages[before:] == ["Batch updated 7 job statuses in 0.010s"]
