"""A repeated log line appears once in a while; a reset lets the next one through."""

from __future__ import annotations

from jobstatus_consumer.telemetry.throttle import Throttle


def test_a_line_of_each_kind_is_allowed_once_a_minute() -> None:
    now = [100.0]
    throttle = Throttle(60, lambda: now[0])
    allowed = []
    for now[0] in (100, 101, 159.9, 160, 161, 220):
        allowed.append((throttle.allows("one"), now[0] == 101 and throttle.allows("two")))
    assert allowed == [(True, False), (False, True), (False, False), (True, False), (False, False), (True, False)]


def test_a_reset_allows_the_next_line_of_every_kind() -> None:
    throttle = Throttle(60, lambda: 100.0)
    assert [throttle.allows(), throttle.allows("two"), throttle.allows()] == [True, True, False]
    throttle.reset()
    assert [throttle.allows(), throttle.allows("two")] == [True, True]
