"""When what waits for its row is tried again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from jobstatus_consumer.errors import ConnectionStaleError, DatabaseAwayError, DeploymentError
from jobstatus_consumer.records import Projected
from jobstatus_consumer.stream.settling import EVERY, LOOK, SWEEP, Settling


@dataclass
class Waiting:
    jobs: int = 0
    since: float = 0.0


@dataclass
class Store:
    """Waits as a store does; `settled` is what the next page does."""

    connected: bool = True
    waiting: Waiting = field(default_factory=Waiting)
    page: int = 500
    page_left: bool = False
    settled: Projected | Exception = field(default_factory=Projected)
    counted: int = 0
    left_by_another: int = 0

    def settle(self) -> Projected:
        if isinstance(self.settled, Exception):
            raise self.settled
        return self.settled

    def count_waiting(self) -> None:
        self.counted += 1
        self.waiting.jobs = self.left_by_another

    def close(self) -> None:
        self.connected = False


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def done() -> list[Projected]:
    return []


@pytest.fixture
def settling(store: Store, clock: Clock, done: list[Projected]) -> Settling:
    found = Settling(store, done.append, clock)
    clock.now += LOOK
    return found


def test_nothing_is_done_without_a_connection_which_a_task_makes(settling: Settling, store: Store) -> None:
    store.connected = False
    assert settling.due_in() is None


def test_while_nothing_waits_it_is_counted_now_and_then(
    settling: Settling, store: Store, done: list[Projected]
) -> None:
    """Another consumer may have left something."""
    settling.run()
    assert (store.counted, done, settling.due_in()) == (1, [], LOOK)
    store.left_by_another, store.settled = 3, Projected(written=3, arrived=3)
    settling.run()
    assert done == [Projected(written=3, arrived=3)]


def test_what_a_batch_lets_wait_is_tried_within_a_second(settling: Settling, store: Store, clock: Clock) -> None:
    settling.run()
    store.waiting.jobs = 1
    assert settling.due_in() == EVERY
    clock.now += EVERY
    assert settling.due_in() == 0


def test_pages_follow_each_other_at_once_while_they_have_rows(settling: Settling, store: Store) -> None:
    store.waiting.jobs, store.page_left, store.settled = 2_500, True, Projected(written=1, arrived=1)
    settling.run()
    assert settling.due_in() == 0


@pytest.mark.parametrize("jobs", [501, 100_000, 1_000_000])
def test_every_job_that_waits_is_tried_within_half_a_minute(settling: Settling, store: Store, jobs: int) -> None:
    store.waiting.jobs, store.page_left = jobs, True
    settling.run()
    rest = settling.due_in()
    assert rest is not None
    assert rest * jobs / store.page <= SWEEP
    assert rest <= EVERY


def test_the_age_of_the_oldest_grows_while_something_waits(settling: Settling, store: Store, clock: Clock) -> None:
    assert settling.oldest_seconds == 0
    store.waiting = Waiting(2, clock.now - 5)
    clock.now += 7
    assert (settling.waiting, settling.oldest_seconds) == (2, 12)


@pytest.mark.parametrize(("error", "connected"), [(DatabaseAwayError("x"), True), (ConnectionStaleError("x"), False)])
def test_a_database_that_is_away_is_the_next_tasks_business(
    settling: Settling, store: Store, error: Exception, connected: bool
) -> None:
    store.waiting.jobs, store.settled = 1, error
    settling.run()
    assert store.connected is connected


def test_a_wrong_deployment_is_raised(settling: Settling, store: Store) -> None:
    store.waiting.jobs, store.settled = 1, DeploymentError("x")
    with pytest.raises(DeploymentError):
        settling.run()
