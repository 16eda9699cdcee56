"""How many of each part a rate of events needs."""

from __future__ import annotations

import math

import pytest
from jobstatus_consumer.capacity import Cost, Costs, Demand, Work, changes, plan
from jobstatus_consumer.capacity.sizing import FILLED, QUEUED_BYTES, QUEUED_EVENTS
from jobstatus_consumer.config import USUAL_PARTITIONS
from jobstatus_consumer.kafka.client import FETCH_DEFAULTS

COSTS = Costs(
    consumer=Cost(200.0, 10.0),
    postgres=Cost(100.0, 5.0),
    broker=Cost(0.0, 1.0),
    turn=Cost(300.0, 4.0),
    wal=Cost(1000.0, 200.0),
    commit_micros=500.0,
    bend=50.0,
    megabytes=90.0,
)


def test_a_small_rate_needs_two_consumers_of_which_one_would_do() -> None:
    found = plan(Demand(100, Work(batch=50)), COSTS)
    assert (found.consumers, found.connections, found.partitions, found.databases) == (2, 3, USUAL_PARTITIONS, 1)


def test_a_batch_that_does_not_fill_within_the_linger_is_as_large_as_it_is_then() -> None:
    found = plan(Demand(10, Work(batch=50), linger_seconds=2.0), COSTS)
    assert found.batch == pytest.approx(10.0)
    assert found.commits_per_second == pytest.approx(1.0)
    assert plan(Demand(10, Work(batch=50), linger_seconds=0.0), COSTS).batch == pytest.approx(1.0)


def test_consumers_are_planned_for_a_part_of_what_they_can() -> None:
    demand = Demand(100_000, Work(batch=50, trip_ms=20))
    found = plan(demand, COSTS)
    assert found.of_one == pytest.approx(50 / 0.021, rel=0.01)
    assert found.consumers == math.ceil(100_000 / (FILLED * found.of_one))
    assert found.partitions == 2 * found.consumers


def test_what_postgresql_has_to_do_follows_from_the_rate_and_the_batch() -> None:
    found = plan(Demand(100_000, Work(batch=50, trip_ms=20)), COSTS)
    assert found.commits_per_second == pytest.approx(2000)
    assert found.postgres_cores == pytest.approx(0.7)
    assert found.consumer_cores == pytest.approx(1.4)
    assert found.wal_bytes_per_second == pytest.approx(22_000_000)


def test_more_than_one_server_is_needed_for_too_much_wal_or_cpu() -> None:
    assert plan(Demand(1_000_000, Work(batch=50)), COSTS).databases == 2
    busy = COSTS._replace(postgres=Cost(0.0, 50.0), wal=Cost(0.0, 0.0))
    assert plan(Demand(1_000_000, Work(batch=50)), busy).databases == 3


@pytest.mark.parametrize(
    ("work", "limit"),
    [
        (Work(batch=50, trip_ms=20), "the round trip"),
        (Work(batch=50, window=4, trip_ms=20), "the round trip"),
        (Work(batch=50), "the time of the database"),
        (Work(batch=50, window=4, trip_ms=0.1), "the time of the database"),
        (Work(batch=500, window=2), "the CPU of a consumer"),
    ],
)
def test_the_limit_is_named(work: Work, limit: str) -> None:
    assert plan(Demand(1000, work), COSTS).limit == limit


def test_what_would_save_consumers_is_named_with_the_least_value_for_it_and_the_best_first() -> None:
    found = changes(Demand(100_000, Work(batch=50, trip_ms=20)), COSTS)
    assert {change.option for change in found} == {"--batches-in-flight", "--batch-max-events", "--round-trip-ms"}
    assert [change.consumers for change in found] == sorted(change.consumers for change in found)
    assert next(change.value for change in found if change.option == "--batches-in-flight") == 4


def test_nothing_is_advised_where_nothing_would_save_a_consumer() -> None:
    assert changes(Demand(100, Work(batch=50)), COSTS) == []


def test_large_rows_need_memory_up_to_what_the_kafka_client_keeps_ready() -> None:
    small = plan(Demand(100, Work(row_bytes=100)), COSTS).megabytes
    large = plan(Demand(100, Work(row_bytes=10_000)), COSTS).megabytes
    assert small == pytest.approx(90.0)
    assert 90 + 16 < large < 90 + 25


def test_the_queue_is_that_of_the_kafka_client() -> None:
    assert 1024 * FETCH_DEFAULTS["queued.max.messages.kbytes"] == QUEUED_BYTES
    assert FETCH_DEFAULTS["queued.min.messages"] == QUEUED_EVENTS
