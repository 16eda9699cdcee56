"""The one way to try something again: how long to wait, what is tried again, and what ends it.

The policy is made of tenacity's objects. The writer thread waits here for the database and for the dead letter topic,
the commands wait here for the database, and any thread waits here for the answer of a broker (`kafka.client.ask`,
30 s at most). The thread that polls Kafka never waits here for PostgreSQL.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Event
from traceback import clear_frames
from typing import Final, NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.wait import wait_base

from jobstatus_consumer.errors import StopRequestedError

SHORTEST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 4.0
"""Seconds."""

BACKOFF: Final = wait_random_exponential(multiplier=2 * SHORTEST_WAIT, min=SHORTEST_WAIT, max=LONGEST_WAIT)
"""A random wait from 0.2 s up to a bound that doubles with each try, to 4 s: consumers do not come back in step."""

T = TypeVar("T")
Predicate = Callable[[BaseException], bool]
Observer = Callable[[BaseException, float, int], None]


def ignore(_error: BaseException, _upcoming: float, _tries: int) -> None:
    """The observer for a caller that reports nothing."""


def retry(
    action: Callable[[], T],
    *,
    retry_on: type[BaseException] | Predicate,
    stop: Event,
    deadline: float = math.inf,
    observe: Observer = ignore,
    wait: wait_base = BACKOFF,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return the result of `action`; try it again while it raises an error that `retry_on` names. Blocks meanwhile.

    `retry_on` is an exception class or a predicate. An error that it does not name is raised as it is, and so is any
    error at or after `deadline` (in `clock`'s seconds). `observe(error, seconds until the next try, tries so far)` is
    called before each wait. Setting `stop` ends a wait at once and raises `StopRequestedError`.
    """
    failed: list[BaseException] = []
    try:
        # nearly always this is all, and tenacity takes 60 us for a first try, once for each batch
        return action()
    except BaseException as error:  # noqa: BLE001 - tenacity gets it, and decides
        failed.append(error)

    def again() -> T:
        if failed:
            raise failed.pop()
        return action()

    retrying = _policy(_predicate(retry_on), stop, deadline, observe, wait, clock)
    try:
        return retrying(again)
    except BaseException as error:
        # tenacity's frames have the error, and the error has the frames: a cycle with all that `action` used, such as
        # a client, whose sockets and threads would stay until Python's collector finds it
        clear_frames(error.__traceback__)
        raise


def _policy(
    matches: Predicate, stop: Event, deadline: float, observe: Observer, wait: wait_base, clock: Callable[[], float]
) -> Retrying:
    def before_sleep(state: RetryCallState) -> None:
        error = _error_of(state)
        if error is not None:
            observe(error, state.upcoming_sleep, state.attempt_number)

    def stopped(state: RetryCallState) -> NoReturn:
        raise StopRequestedError("a stop was requested while waiting") from _error_of(state)

    return Retrying(
        wait=wait,
        retry=retry_if_exception(lambda error: matches(error) and clock() < deadline),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=before_sleep,
        retry_error_callback=stopped,
    )


def _predicate(retry_on: type[BaseException] | Predicate) -> Predicate:
    if isinstance(retry_on, type):
        kind = retry_on
        return lambda error: isinstance(error, kind)
    return retry_on


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
