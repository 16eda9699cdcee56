"""What the benchmark makes of its measurements."""

from __future__ import annotations

import pytest
from bench.freshness import Setting, Times
from bench.freshness import targets as freshness_targets
from bench.marks import Run
from bench.memory import targets as memory_targets
from bench.place import Measured
from bench.speed import Speed


def a_run(rate: float, *, peak: float = 100.0, at_a_tenth: float = 100.0) -> Run:
    return Run(1000, 1000 / rate, 0.01, peak, at_a_tenth)


def rounds(*rates: float) -> list[Measured]:
    return [Measured(a_run(rate), 20.0) for rate in rates]


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    speed = Speed({("ours", 50): rounds(10_000, 40_000, 20_000), ("plain", 50): rounds(5_000, 10_000, 12_500)})
    assert speed.ratio("plain", 50) == pytest.approx(2.0)
    assert speed.rate("ours", 50) == pytest.approx(20_000)


def test_a_run_says_what_one_event_cost() -> None:
    run = a_run(50_000)
    assert run.events_per_second == pytest.approx(50_000)
    assert run.cpu_micros == pytest.approx(10.0)


def test_with_a_linger_its_p99_counts_and_without_one_the_p50() -> None:
    seconds = [0.001 * n for n in range(1, 1001)]
    with_linger, without = freshness_targets([Times(Setting(500, 0.5), seconds), Times(Setting(50, 0.0), seconds)])
    assert (with_linger.found, with_linger.wanted, with_linger.reached) == ("991 ms", "under 600 ms", False)
    assert (without.found, without.wanted, without.reached) == ("501 ms", "under 50 ms", False)


@pytest.mark.parametrize(("peak", "reached"), [(105.0, True), (120.0, False)])
def test_memory_may_not_grow_with_the_events(peak: float, reached: bool) -> None:
    (target,) = memory_targets(a_run(1_000, peak=peak))
    assert target.reached is reached
