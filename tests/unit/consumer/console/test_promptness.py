"""A page shows a commit within two seconds: proved by a clock of the test's own, so that no machine is too slow for it.

Three steps are between a commit and the page, and each is bounded: the watch looks at the database at least once a
second, a stream sends at once what was seen, and the browser puts it on the page when it arrives.
`test_a_commit_is_seen_on_the_page` shows that the steps are joined, in a real browser.
"""

from __future__ import annotations

import asyncio
import selectors
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.console import live
from jobstatus_consumer.console.live import Live
from jobstatus_consumer.console.sources import Sources
from jobstatus_consumer.console.watch import Watch

WITHIN = 2.0
SLOWEST = 0.5
"""Seconds for the database's answer, for which the two seconds are promised."""


class Clock(selectors.DefaultSelector):
    """Time that passes only where something waits for it: for a watch, and for an event loop as its selector."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now > 60

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of a clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.clock = clock

    def time(self) -> float:
        return self.clock.now


def looks(takes: float) -> list[tuple[float, float]]:
    """When each look at the database began and ended, of the console's own watch, if each one takes so long."""
    clock = Clock()
    found: list[tuple[float, float]] = []

    def look() -> None:
        began = clock.now
        clock.now += takes
        found.append((began, clock.now))

    watch = Watch("table", look, every=live.TABLE_EVERY, clock=clock, wait=clock.wait)
    watch.start()
    watch.join(30)
    clock.close()
    return found


@pytest.mark.parametrize("takes", [0.0, 0.02, 0.35, SLOWEST])
def test_the_database_is_looked_at_once_a_second(takes: float) -> None:
    found = looks(takes)
    assert len(found) > 50
    assert max(later - before for (before, _), (later, _) in pairwise(found)) <= 1.0 + 1e-9


def sent_at(news: list[float]) -> list[float]:
    """When a stream sends, if something was seen anew at these times."""
    clock = Clock()
    found: list[float] = []
    with asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
        runner.run(_stream(news, clock, found))
    return found


async def _stream(news: list[float], clock: Clock, found: list[float]) -> None:
    settings = load_settings({"JOBSTATUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    watched = Live(settings, Sources(settings))
    loop = asyncio.get_running_loop()
    for at in news:
        loop.call_at(at, watched._wake)
    waking = asyncio.create_task(watched.wake_after_silence())
    while clock.now < max(news) + 1:
        found.append(clock.now)
        await watched.next_change()
    waking.cancel()


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=40))
def test_a_stream_sends_at_once_what_was_seen_and_is_never_silent_for_long(news: list[float]) -> None:
    sent = sent_at(news)
    assert all(any(abs(time - at) < 1e-6 for time in sent) for at in news)
    assert max(later - before for before, later in pairwise(sent)) <= live.SILENCE_SECONDS + 1e-6


@given(st.floats(0.0, 30.0), st.sampled_from([0.0, 0.02, 0.35, SLOWEST]))
def test_a_commit_is_sent_within_two_seconds(committed: float, takes: float) -> None:
    """A look that has begun before the commit may not see it."""
    seen = next(ended for began, ended in looks(takes) if began >= committed)
    sent = next(at for at in sent_at([ended for _, ended in looks(takes)]) if at >= seen)
    assert sent - committed <= WITHIN
