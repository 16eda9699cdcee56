"""What the scale bench makes of its measurements, on measurements that the model itself has made."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.scale import targets
from bench.scale.backlogs import Backlog
from bench.scale.fit import fit, is_fitted, line, predictions
from bench.scale.fleet import Load, Sample, UnsettledError, _Mark, _Member, _sample, _Seen, settled
from bench.scale.parts import PARTS, Case
from bench.scale.rebalance import Rebalance
from bench.scale.result import Result
from bench.scale.runner import Measured, cases_of, median
from bench.scale.tables import all_parts, of_linear, part, rebalances
from jobstatus_consumer.capacity import Cost, Costs, Work, shared_rate
from jobstatus_schemas import decode
from rich.console import Console

CORES = 4
TRUE = Costs(
    consumer=Cost(600.0, 12.0, 10.0, 1.2, 1.1, idle=0.05),
    postgres=Cost(400.0, 6.0, 20.0, 1.6, 1.2, idle=0.02),
    broker=Cost(80.0, 2.0, 3.0),
    turn=Cost(900.0, 12.0, 20.0, 1.0, 1.3),
    wal=Cost(1000.0, 200.0, 900.0, 1.5),
    commit_micros=300.0,
    bend=4.0,
    megabytes=95.0,
    burst=0.5,
)


def made(case: Case) -> Sample:
    """What the model says of a case."""
    work = Work(case.batch, case.window, float(case.trip_ms), case.backlog.message_bytes or 100, case.own_table)
    rate = shared_rate(work, TRUE, case.consumers, CORES)
    each = {
        name: cost.of(work) / case.batch + 1e6 * cost.idle * case.consumers / rate
        for name, cost in TRUE._asdict().items()
        if name in ("consumer", "postgres", "broker", "wal")
    }
    return Sample(
        consumers=case.consumers,
        batch=case.batch,
        window=case.window,
        asked_trip_ms=case.trip_ms,
        trip_ms=case.trip_ms,
        events_per_second=rate,
        consumer_micros=each["consumer"],
        postgres_micros=each["postgres"],
        broker_micros=each["broker"],
        bench_micros=0.0,
        wal_bytes=each["wal"],
        batches_per_second=100.0,
        logs_in_a_batch=1.0,
        megabytes=95.0,
        other_cores=0.0,
    )


@pytest.fixture(scope="module")
def result() -> Result:
    """A run on a machine that does what the model says."""
    cases = cases_of(list(PARTS), many=False, say=print)
    samples = {case.key: Measured.of([made(case)]) for case in cases}
    return Result({"cores": str(CORES)}, 1, 4.0, TRUE.commit_micros, samples, {"one": Rebalance(50, 1.0, 0.5, 0.4)})


def test_a_line_goes_through_its_points_and_is_never_negative() -> None:
    assert line([(1, 12.0), (10, 30.0), (100, 210.0)]) == pytest.approx((10.0, 2.0))
    assert line([(1, 1.0), (10, 20.0), (100, 220.0)])[0] == 0.0
    assert line([(1, 5.0), (10, 4.0)])[1] == 0.0


def test_the_fit_finds_the_constants_again(result: Result) -> None:
    found = fit(result.samples, result.commit_micros, CORES)
    for name in ("consumer", "postgres", "broker", "wal"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.02), name
    assert found.turn.batch == pytest.approx(TRUE.turn.batch, rel=0.1)
    assert found.turn.event == pytest.approx(TRUE.turn.event, rel=0.2)
    assert found.turn.in_flight == pytest.approx(TRUE.turn.in_flight, abs=0.15)
    assert found.burst == pytest.approx(TRUE.burst, abs=0.2)
    assert (found.commit_micros, found.megabytes) == (300.0, 95.0)


def test_what_the_fit_has_not_seen_is_predicted(result: Result) -> None:
    found = predictions(result.samples, fit(result.samples, result.commit_micros, CORES), CORES)
    assert len(found) > 20
    assert not any(is_fitted(item.key) for item in found)
    assert {item.key.partition(": ")[0] for item in found} == {"consumers", "batch", "window", "held_out"}
    assert max(abs(item.ratio - 1) for item in found) < 0.15
    *_, model = targets(result)
    assert (model.found.startswith(f"{len(found)} of {len(found)}"), model.reached) == (True, True)


def test_a_measurement_that_differs_misses_the_target(result: Result) -> None:
    key = "window: 20 ms, 4"
    sample = result.samples[key].sample
    wrong = Measured.of([sample._replace(events_per_second=2 * sample.events_per_second)])
    *_, model = targets(result._replace(samples={**result.samples, key: wrong}))
    assert model.reached is False
    assert key in model.found


def test_consumers_are_compared_with_as_many_times_one_of_the_same_distance(result: Result) -> None:
    assert of_linear(result, "consumers: 5 ms, 1") == pytest.approx(1.0)
    assert 0.5 < of_linear(result, "consumers: 5 ms, 8") <= 1.0
    near, far, *_ = targets(result)
    assert (near.what, far.what) == ("scale, consumers: 5 ms, 8, of linear", "scale, consumers: 20 ms, 8, of linear")
    assert far.reached is True


def test_every_part_has_a_table_with_its_ratio_first(result: Result) -> None:
    found = dict(all_parts(result))
    assert list(found) == list(PARTS)
    for name, lines in found.items():
        assert lines.titles[1] == "times"
        assert any(row[1] == "1.00" for row in lines.cells), name
        assert lines.markdown().count("\n") == len(lines.cells) + 1
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(part(result, "batch").rich("batch"))
    assert "PostgreSQL" in console.export_text()
    assert rebalances(result).cells == [("one", "50", "1.0", "0.5", "0.4")]


def test_a_result_is_saved_whole_and_a_later_part_replaces_that_part_alone(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result.save(path)
    assert Result.load(path) == result
    key = "own: own"
    again = Measured.of([result.samples[key].sample._replace(megabytes=1.0)])
    both = result._replace(samples={key: again}, rebalance={}).over(Result.load(path))
    assert both.samples[key] == again
    # nothing of a part comes from two runs
    assert set(result.samples) - set(both.samples) == {"own: managed"}
    assert both.rebalance == result.rebalance


def test_the_median_of_rounds_is_of_each_field(result: Result) -> None:
    first = result.samples["own: own"].sample
    samples = [first._replace(megabytes=value, events_per_second=100 - value) for value in (3.0, 1.0, 2.0)]
    found = median(samples)
    assert (found.megabytes, found.events_per_second, found.batch) == (2.0, 98.0, first.batch)


def test_repeats_come_near_each_other_and_no_job_twice_without_them() -> None:
    def jobs(repeats: float | None) -> list[str]:
        return [key for key, _ in Backlog(events=1000, repeats=repeats).records()]

    assert len(set(jobs(0.0))) == 1000
    assert len(set(jobs(0.9))) == pytest.approx(100, rel=0.3)
    assert len({Backlog(repeats=repeats).topic for repeats in (None, 0.0, 0.9)}) == 3


def test_the_messages_of_a_backlog_have_the_wanted_length() -> None:
    for _, value in Backlog(events=3, message_bytes=1000).records():
        event = decode(value)
        assert (event.status, len(event.error_message or "")) == ("error", 1000)


LOAD = Load("topic", consumers=2, batch=10)
BEGAN, ENDED = _Seen(10.0, 5.0, 1.0, 0.0, 20.0, 0), _Seen(14.0, 6.0, 1.2, 0.1, 24.0, 4000)


def marks(partition: int, *, until: float = 14.0) -> Iterator[_Mark]:
    """A batch of 10 events every 0.1 s."""
    for number in range(60):
        at = 9.0 + number / 10
        if at <= until:
            yield _Mark(at, at / 4, 10, [partition])


def members(*marks_of: Iterator[_Mark]) -> list[_Member]:
    return [_Member(list(found), 90.0) for found in marks_of]


def test_a_window_counts_what_every_member_wrote_in_it() -> None:
    found = _sample(LOAD, 5.0, BEGAN, ENDED, members(marks(0), marks(1)))
    assert found.events_per_second == pytest.approx(200, rel=0.01)
    assert found.consumer_micros == pytest.approx(0.5 / 200 * 1e6, rel=0.01)
    assert found.postgres_micros == pytest.approx(1 / 800 * 1e6, rel=0.01)
    assert found.wal_bytes == pytest.approx(5.0, rel=0.01)
    assert found.batches_per_second == pytest.approx(20, rel=0.01)
    assert found.other_cores == pytest.approx((4 - 1 - 0.2 - 0.1) / 4 - 0.5, abs=0.02)


def test_a_window_in_which_a_partition_moved_does_not_count() -> None:
    with pytest.raises(UnsettledError, match="moved"):
        _sample(LOAD, 5.0, BEGAN, ENDED, members(marks(0), marks(0)))


def test_a_window_in_which_a_member_had_nothing_more_to_write_does_not_count() -> None:
    with pytest.raises(UnsettledError, match="nothing more"):
        _sample(LOAD, 5.0, BEGAN, ENDED, members(marks(0), marks(1, until=12.0)))


def test_an_unsettled_run_is_repeated_some_times() -> None:
    said: list[str] = []

    def fails() -> Sample:
        raise UnsettledError("a partition moved")

    assert settled(fails, said.append) is None
    assert len(said) == 4
