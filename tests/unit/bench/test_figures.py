"""What the benchmark makes of its measurements."""

from __future__ import annotations

import io

import pytest
from bench import calls
from bench.away import Result
from bench.away import targets as away_targets
from bench.calls import OURS, OURS_MANY, Calls, Row
from bench.calls import targets as calls_targets
from bench.freshness import BOTH, Setting, Times
from bench.freshness import targets as freshness_targets
from bench.marks import Run
from bench.memory import Memory, Peak
from bench.memory import targets as memory_targets
from bench.own import Own, OwnRun
from bench.own import targets as own_targets
from bench.place import Measured
from bench.replay import COMPARED
from bench.replay import targets as replay_targets
from bench.speed import Speed
from bench.start import Start
from bench.start import table as start_table
from bench.start import targets as start_targets
from rich.console import Console


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


def test_adaptive_is_held_to_the_linger_beside_it() -> None:
    def found(rate: float, linger: float, adaptive: float) -> bool:
        both = [Times(BOTH[0], [linger], rate), Times(BOTH[1], [adaptive], rate)]
        return freshness_targets(both)[1].reached

    assert found(10, 1.0, 0.01)
    assert not found(10, 0.01, 0.01)
    assert found(10_000, 0.01, 0.0105)
    assert not found(10_000, 0.01, 0.02)


@pytest.mark.parametrize(("peak", "reached"), [(105.0, True), (120.0, False)])
def test_memory_may_not_grow_with_the_events(peak: float, reached: bool) -> None:
    (target,) = memory_targets(Memory(a_run(1_000, peak=peak), {}))
    assert target.reached is reached


@pytest.mark.parametrize(("mebibytes", "reached"), [(500.0, True), (1100.0, False)])
def test_what_reads_the_whole_log_stays_under_a_gibibyte(mebibytes: float, reached: bool) -> None:
    _, target = memory_targets(Memory(a_run(1_000), {"verify": Peak(mebibytes, 1.0)}))
    assert (target.what, target.reached) == ("peak memory of verify", reached)


def test_a_replay_is_held_to_consume_and_verify_to_the_decoder() -> None:
    names = {name for name, _, _ in COMPARED}
    slow = dict.fromkeys(names, 100.0) | {"consume": 101.0, "verify": 49.0}
    fast = dict.fromkeys(names, 100.0) | {"consume": 50.0, "verify": 51.0}
    for rounds_, reached in ([slow], False), ([fast], True), ([slow, fast, fast], True):
        assert {target.reached for target in replay_targets(rounds_)} == {reached}


def calls_rows(**p50: float) -> dict[str, list[Row]]:
    names = {name: getattr(calls, name) for name in p50}
    return {
        names[name]: [Row(names[name], value, 3 * value, 9 * value, value, 1e6 / value)] for name, value in p50.items()
    }


def test_a_call_is_held_to_the_bare_produce_an_idle_update_the_sketch_and_one_thread() -> None:
    good_rows = calls_rows(
        OURS=7.0,
        OURS_MANY=8.0,
        SPOOL=8.0,
        SPOOL_MANY=9.0,
        DURABLE=500.0,
        DURABLE_MANY=200.0,
        BARE=2.0,
        IDLE_UPDATE=300.0,
        SKETCH=11.0,
    )
    bad_rows = calls_rows(
        OURS=50.0,
        OURS_MANY=400.0,
        SPOOL=50.0,
        SPOOL_MANY=400.0,
        DURABLE=500.0,
        DURABLE_MANY=400.0,
        BARE=1.0,
        IDLE_UPDATE=200.0,
        SKETCH=9.0,
    )
    good = Calls(good_rows, 100, (80.0, 82.0), (0.1, 0.149))
    bad = Calls(bad_rows, 100, (80.0, 120.0), (0.1, 0.151))
    assert [target.reached for target in calls_targets(good)] == [True] * 14
    assert [target.reached for target in calls_targets(bad)] == [False] * 14


def test_a_figure_of_a_call_is_the_median_of_its_rounds_and_a_ratio_that_of_the_rounds_own() -> None:
    def row(name: str, rate: float) -> Row:
        return Row(name, 1e6 / rate, 0.0, 0.0, 0.0, rate)

    one = [row(OURS, rate) for rate in (100.0, 50.0, 10.0)]
    many = [row(OURS_MANY, rate) for rate in (90.0, 50.0, 40.0)]
    found = Calls({OURS: one, OURS_MANY: many}, 1, (1.0, 1.0), (1.0, 1.0))
    assert [each.rate for each in found.rows] == [50.0, 50.0]
    assert found.ratio(OURS_MANY, "rate", OURS) == 1.0


def test_what_was_lost_out_of_order_or_blocked_while_brokers_were_away_misses_its_target() -> None:
    whole = Result("a", 10, 0, 10, 0, 0, 0, 0, [0.0, 0.1, 0.2, 2.9], 1.0)
    broken = whole._replace(lost=1, out_of_order=1, slowest=[0.0, 0.1, 0.2, 3.1])
    assert [target.reached for target in away_targets([whole])] == [True] * 3
    assert [target.reached for target in away_targets([whole, broken])] == [False, False, True, False]


def test_the_start_is_shown_beside_what_it_was_and_judged_where_there_is_a_target() -> None:
    found = [Start(1.0, 1.1, 0.3, 0.2), Start(1.2, 1.3, 0.5, 0.2), Start(1.4, 1.7, 0.6, 0.3)]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(start_table(found))
    said = console.export_text()
    assert "process's start to the first row" in said
    assert "1.30" in said
    assert "4.50" in said
    assert {target.what: target.reached for target in start_targets(found)} == {
        "from the assignment to the first row": True,
        "from the process's start to the first row": True,
        "a whole emit": False,
    }


def test_the_own_table_is_held_to_a_share_of_the_managed_one() -> None:
    def runs(*rates: float) -> list[OwnRun]:
        return [OwnRun(item, 500.0, 0.9) for item in rounds(*rates)]

    found = Own({("managed", 50): runs(10_000, 20_000, 8_000), ("own", 50): runs(5_000, 12_000, 8_000)})
    assert found.ratio("managed", 50) == pytest.approx(0.6)
    (target,) = own_targets(found)
    assert (target.found, target.reached) == ("0.60", True)
