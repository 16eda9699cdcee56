"""Time stamps rise, whatever the machine's clock does."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from jobstatus_producer.clock import PROCESS_CLOCK, StrictClock


@given(st.lists(st.integers(0, 2**62), min_size=1))
def test_stamps_rise_whatever_the_clock_says(readings: list[int]) -> None:
    times = iter(readings)
    clock = StrictClock(lambda: next(times))
    stamps = [clock.stamp() for _ in readings]
    assert stamps == sorted(set(stamps))


def test_a_stamp_is_the_clocks_time_in_microseconds() -> None:
    assert StrictClock(lambda: 1_700_000_000_123_456_789).stamp() == 1_700_000_000_123_456


def test_a_clock_that_steps_back_goes_on_from_the_last_stamp() -> None:
    times = iter([5_000_000, 1_000_000, 1_000_000, 6_000_000])
    clock = StrictClock(lambda: next(times))
    assert [clock.stamp() for _ in range(4)] == [5000, 5001, 5002, 6000]


def test_stamps_rise_above_what_a_spool_holds() -> None:
    clock = StrictClock(lambda: 1_000_000)
    clock.rise_above(9_000)
    clock.rise_above(8_000)
    assert clock.stamp() == 9_001


def test_stamps_of_many_threads_are_all_different() -> None:
    found: list[int] = []

    def stamp() -> None:
        found.extend(PROCESS_CLOCK.stamp() for _ in range(2000))

    threads = [threading.Thread(target=stamp) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 16_000
