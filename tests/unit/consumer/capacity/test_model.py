"""The model of the throughput: each limit alone, and where they meet."""

from __future__ import annotations

import pytest
from jobstatus_consumer.capacity import COSTS, Cost, Costs, Work, bend, cycle, rate, shared_rate
from jobstatus_consumer.capacity.model import cpu_of_an_event

ZERO = Cost(0.0, 0.0)
COSTS_BY_HAND = Costs(
    consumer=Cost(200.0, 10.0, 5.0, 1.5),
    postgres=Cost(100.0, 5.0),
    broker=ZERO,
    turn=Cost(300.0, 4.0),
    wal=ZERO,
    commit_micros=500.0,
    bend=50.0,  # so sharp that the largest limit counts nearly alone
    megabytes=90.0,
)


def test_a_batch_has_a_cost_of_its_own_and_one_for_each_event() -> None:
    assert Cost(200.0, 10.0).of(Work(batch=50)) == pytest.approx(700.0)


def test_a_larger_row_costs_more_by_the_kilobyte_and_a_smaller_one_no_less() -> None:
    cost = Cost(0.0, 10.0, kilobyte=5.0)
    assert cost.of(Work(batch=1, row_bytes=2100)) == pytest.approx(20.0)
    assert cost.of(Work(batch=1, row_bytes=0)) == pytest.approx(10.0)


def test_a_table_of_the_users_own_multiplies_the_cost() -> None:
    cost = Cost(200.0, 10.0, own_table=1.5)
    assert cost.of(Work(batch=10, own_table=True)) == pytest.approx(450.0)


def test_several_batches_in_flight_multiply_the_cost_and_one_does_not() -> None:
    cost = Cost(200.0, 10.0, in_flight=1.5)
    assert cost.of(Work(batch=10, window=1)) == pytest.approx(300.0)
    assert cost.of(Work(batch=10, window=2)) == cost.of(Work(batch=10, window=4)) == pytest.approx(450.0)


def test_what_a_batch_in_flight_takes_longer_is_part_of_its_wait_and_not_of_its_turn() -> None:
    costs = COSTS_BY_HAND._replace(turn=COSTS_BY_HAND.turn._replace(in_flight=1.5))
    assert cycle(Work(batch=50, window=4, trip_ms=5), costs) == pytest.approx((700.0, 850.0, 1000.0, 6500.0 / 4))


def test_over_a_distance_the_round_trip_is_the_limit() -> None:
    work = Work(batch=50, trip_ms=20)
    assert cycle(work, COSTS_BY_HAND) == pytest.approx((700.0, 850.0, 1000.0, 21_000.0))
    assert rate(work, COSTS_BY_HAND) == pytest.approx(50 / 0.021, rel=0.01)


def test_batches_in_flight_share_the_round_trip_until_another_limit_is_reached() -> None:
    far = [rate(Work(batch=50, window=window, trip_ms=20), COSTS_BY_HAND) for window in (1, 2, 4)]
    assert far[1] / far[0] == pytest.approx(2.0, rel=0.01)
    assert far[2] / far[0] == pytest.approx(4.0, rel=0.01)
    near = [rate(Work(batch=50, window=window, trip_ms=0.5), COSTS_BY_HAND) for window in (2, 4)]
    assert near[1] / near[0] == pytest.approx(1.0, rel=0.05), "what the server does by itself is the limit"


def test_beside_a_fast_database_the_cpu_of_the_consumer_is_the_limit() -> None:
    work = Work(batch=500, window=2)
    assert rate(work, COSTS_BY_HAND) == pytest.approx(500 / 0.0052, rel=0.01)


def test_consumers_add_up_until_their_cores_are_used_up() -> None:
    work = Work(batch=50, trip_ms=20)
    one = rate(work, COSTS_BY_HAND)
    assert shared_rate(work, COSTS_BY_HAND, 1, cores=2) == pytest.approx(one)
    assert shared_rate(work, COSTS_BY_HAND, 8, cores=2) == pytest.approx(8 * one, rel=0.02)
    assert cpu_of_an_event(work, COSTS_BY_HAND) == pytest.approx(21.0)
    assert shared_rate(work, COSTS_BY_HAND, 1000, cores=2) == pytest.approx(2e6 / 21, rel=0.01)
    assert shared_rate(work, COSTS_BY_HAND, 1000, cores=2, beside=21.0) == pytest.approx(1e6 / 21, rel=0.01)


def test_consumers_that_do_nothing_but_work_share_the_cores() -> None:
    work = Work(batch=50)
    costs = COSTS_BY_HAND._replace(turn=ZERO, commit_micros=0.0)
    alone = rate(work, costs)
    assert cycle(work, costs).cpu == pytest.approx(700.0)
    assert shared_rate(work, costs, 2, cores=1.5) == pytest.approx(alone, rel=0.01), "1,050 µs of CPU on 1.5 cores"


def test_three_consumers_that_work_as_long_as_they_wait() -> None:
    """By hand, with 1 for the work and 1 for the rest: queues of 1/2 and 6/5, so the third batch takes 11/5."""
    costs = Costs(Cost(1000.0, 0.0), ZERO, ZERO, Cost(2000.0, 0.0), ZERO, commit_micros=0.0, bend=50.0, megabytes=0.0)
    work = Work(batch=1)
    assert shared_rate(work, costs, 3, cores=1) == pytest.approx(3 / (11 / 5 + 1) * 1000)


def test_what_a_consumer_uses_by_itself_is_not_there_for_events() -> None:
    work = Work(batch=50)
    idle = COSTS_BY_HAND._replace(broker=Cost(0.0, 0.0, idle=0.1))
    assert shared_rate(work, idle, 10, cores=2) == pytest.approx(shared_rate(work, COSTS_BY_HAND, 10, cores=1))
    assert shared_rate(work, idle, 100, cores=2) > 0


def test_work_that_comes_in_bursts_is_waited_for_longer() -> None:
    work = Work(batch=50, trip_ms=1)
    rates = [shared_rate(work, COSTS_BY_HAND._replace(burst=burst), 3, cores=1) for burst in (0.0, 0.5, 2.0)]
    assert rates == sorted(rates, reverse=True)
    assert shared_rate(work, COSTS_BY_HAND._replace(burst=2.0), 1, cores=1) == pytest.approx(rate(work, COSTS_BY_HAND))


def test_two_limits_that_are_alike_hold_each_other_up() -> None:
    assert bend(2.0, 3.0, 4.0) == pytest.approx(5.0)
    assert bend(4.0, 0.1, 10.0) == pytest.approx(10.0, rel=1e-6)
    assert bend(4.0, 0.0, 0.0) == 0.0


@pytest.mark.parametrize("field", ["consumer", "postgres", "broker", "turn", "wal"])
def test_the_fitted_constants_are_those_of_real_work(field: str) -> None:
    cost = getattr(COSTS, field)
    assert cost.event > 0 or cost.batch > 0
    assert min(cost.batch, cost.event, cost.kilobyte) >= 0
    assert cost.own_table >= 1


def test_the_fitted_model_is_faster_with_more_of_anything() -> None:
    base = Work(batch=50, trip_ms=200)
    assert rate(base._replace(batch=500), COSTS) > rate(base, COSTS)
    assert rate(base._replace(window=4), COSTS) > rate(base, COSTS)
    assert rate(base._replace(trip_ms=1), COSTS) > rate(base, COSTS)
    assert rate(base._replace(row_bytes=10_000), COSTS) <= rate(base, COSTS)
    assert rate(base._replace(own_table=True), COSTS) <= rate(base, COSTS)
