"""Trying again: random waits from 0.2 to 4 s, ended by a deadline, by another error, or at once by a stop."""

from __future__ import annotations

import threading
import time
import weakref

import pytest
from jobstatus_consumer.errors import DatabaseAwayError, StopRequestedError
from jobstatus_consumer.retry import BACKOFF, LONGEST_WAIT, SHORTEST_WAIT, retry
from support.open_files import without_collections
from tenacity import RetryCallState, Retrying, wait_none


def waits(attempt: int, count: int = 300) -> list[float]:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    return [BACKOFF(state) for _ in range(count)]


@pytest.mark.parametrize("attempt", [1, 2, 3, 5, 50, 10_000])
def test_each_wait_is_within_its_bounds_and_spread_over_them(attempt: int) -> None:
    found = waits(attempt)
    longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** min(attempt, 10))
    assert min(found) >= SHORTEST_WAIT
    assert max(found) <= longest
    assert max(found) - min(found) > 0.8 * (longest - SHORTEST_WAIT)


def test_it_goes_on_until_it_works_and_tells_of_each_wait() -> None:
    errors = [DatabaseAwayError("one"), DatabaseAwayError("two")]
    told: list[tuple[str, int]] = []

    def action() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    found = retry(
        action,
        retry_on=lambda error: isinstance(error, DatabaseAwayError),
        stop=threading.Event(),
        observe=lambda error, upcoming, tries: told.append((str(error), tries)),
    )
    assert found == "done"
    assert told == [("one", 1), ("two", 2)]


def test_another_error_comes_out_as_it_is() -> None:
    def action() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        retry(action, retry_on=lambda error: False, stop=threading.Event())


def test_a_stop_ends_the_wait_at_once() -> None:
    stop = threading.Event()

    def action() -> None:
        raise DatabaseAwayError("away")

    def observe(error: BaseException, upcoming: float, tries: int) -> None:
        if tries == 4:
            stop.set()

    started = time.monotonic()
    with pytest.raises(StopRequestedError):
        retry(action, retry_on=lambda error: True, stop=stop, observe=observe)
    assert time.monotonic() - started < 4 * LONGEST_WAIT


@pytest.mark.parametrize(("retry_on", "tries"), [(DatabaseAwayError, 3), (KeyError, 1)])
def test_an_error_at_the_deadline_comes_out_as_it_is(retry_on: type[Exception], tries: int) -> None:
    now = [10.0]
    tried: list[float] = []

    def action() -> None:
        tried.append(now[0])
        now[0] += 1
        raise DatabaseAwayError("away")

    with pytest.raises(DatabaseAwayError, match="away"):
        retry(
            action,
            retry_on=retry_on,
            stop=threading.Event(),
            deadline=13,
            wait=wait_none(),
            clock=lambda: now[0],
        )
    assert len(tried) == tries


@pytest.mark.parametrize("kind", [ValueError, StopRequestedError, KeyboardInterrupt])
def test_what_failed_is_let_go_of_at_once(kind: type[BaseException]) -> None:
    class Client:
        """Something with sockets."""

    kept: list[weakref.ref[Client]] = []

    def fail() -> None:
        client = Client()
        kept.append(weakref.ref(client))
        raise kind

    with without_collections():
        with pytest.raises(kind):
            retry(fail, retry_on=OSError, stop=threading.Event())
        assert kept[0]() is None
