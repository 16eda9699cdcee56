"""How long to wait, how often to try, and what ends it: tenacity's objects as our policy.

Used in the writer thread only; the thread that polls Kafka never waits here.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_when_event_set, wait_fixed, wait_random
from tenacity.nap import sleep_using_event
from tenacity.wait import wait_base

from jobstatus_consumer.errors import StopRequestedError

SHORTEST_WAIT = 0.2
LONGEST_WAIT = 4.0

T = TypeVar("T")
Observer = Callable[[BaseException, float, int], None]


class FullJitter(wait_base):
    """0.2 s at least, and up to a bound that doubles with each try to 4 s: consumers do not come back in step."""

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds to wait after the attempt in `retry_state`."""
        bound = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(retry_state.attempt_number, 10))
        wait = wait_fixed(SHORTEST_WAIT) + wait_random(0, bound - SHORTEST_WAIT)
        return float(wait(retry_state))


def try_for_ever(
    action: Callable[[], T], *, again: Callable[[BaseException], bool], stop: Event, observe: Observer
) -> T:
    """The result of `action`, tried again for as long as its error is one of `again`.

    `observe(error, seconds until the next try, tries so far)` is told before each wait. `stop` ends a wait at once
    with `StopRequestedError`. Any other error of `action` comes out as it is.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            observe(error, state.upcoming_sleep, state.attempt_number)

    def ended(state: RetryCallState) -> T:
        error = state.outcome.exception() if state.outcome else None
        raise StopRequestedError("a stop was requested while waiting") from error

    retrying = Retrying(
        wait=FullJitter(),
        retry=retry_if_exception(again),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=before_sleep,
        retry_error_callback=ended,
    )
    return retrying(action)
