"""Purge: remove finished rows in small transactions, beside a live consumer. What was purged stays purged.

Of each row the table of purged jobs keeps what the rule compares, so an event that the row would have refused is
refused as well. A job that has real news comes back. `forget` removes what was kept of jobs of which nothing old can
come any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import Final, TypeVar

from jobstatus_consumer.core import letter_of
from jobstatus_consumer.errors import StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.replay import Pace, retry_database
from jobstatus_consumer.operations.scope import end_if_stopped
from jobstatus_consumer.records import Log
from jobstatus_consumer.store import Finished, FinishedRows, PurgeTable

AT_ONCE: Final = 250
"""Rows in one transaction, while which no consumer writes: a few milliseconds."""
PAUSE: Final = 15
"""A purge pauses so many times as long as each transaction took. So writes wait for a sixteenth of the time at most,
however slow the machine is."""
QUIET_TRIES: Final = 3
"""A consumer that is writing may make a purge wait a few times; that is nothing to report."""

T = TypeVar("T")


@dataclass(slots=True)
class PurgeResult:
    """What a purge did, or would do: `found` by status before it began."""

    found: Sequence[FinishedRows] = ()
    purged: int = 0
    forgotten: int = 0
    seconds: float = 0.0
    complete: bool = False

    @property
    def rows(self) -> int:
        """The rows that were found to be finished."""
        return sum(item.rows for item in self.found)

    @property
    def others(self) -> int:
        """The rows that another program wrote, which stay."""
        return sum(item.others for item in self.found)


@dataclass(frozen=True, slots=True)
class PurgeContext:
    """How a purge works: where, how fast, for how long it waits for the database, when it stops.

    `rate` is in rows a second; 0 means no limit. With `full_speed` it makes no pauses for the sake of live consumers.
    """

    table: PurgeTable
    rate: float
    full_speed: bool
    stop: Flag
    patience: float
    say: Callable[[str], None]

    def tried(self, action: Callable[[], T]) -> T:
        """The result of `action`; waits while the database is unavailable or busy."""
        return retry_database(action, self.stop, self.patience, self.say, quiet_tries=QUIET_TRIES)


def purge(context: PurgeContext, finished: Finished, result: PurgeResult, observe: Callable[[int], None]) -> None:
    """Remove the finished rows, and count them into `result`, also where a stop or an error ends it. Blocks."""
    started, table = time.monotonic(), context.table
    pace, analyze_at = Pace(context.rate, context.stop), 1
    try:
        for jobs in _finished(context, finished):
            if context.stop.is_set():
                return
            result.purged += _purge(context, finished, jobs)
            if result.purged >= analyze_at:
                context.tried(table.analyze)
                analyze_at = 10 * result.purged
            observe(result.purged)
            pace.wait(len(jobs))
        result.complete = not context.stop.is_set()
    except StopRequestedError:
        pass
    finally:
        result.seconds += time.monotonic() - started


def _purge(context: PurgeContext, finished: Finished, jobs: Sequence[str]) -> int:
    """Purge these jobs, and leave the database to others for a while; returns the number of rows."""
    began = 0.0

    def once() -> int:
        nonlocal began
        began = time.monotonic()
        return context.table.purge(finished, jobs)

    count = context.tried(once)
    if not context.full_speed:
        context.stop.wait(PAUSE * (time.monotonic() - began))
    return count


def _finished(context: PurgeContext, finished: Finished) -> Iterator[list[str]]:
    """The finished jobs, in the pieces in which they are purged."""
    at_once = int(min(AT_ONCE, max(1, context.rate))) if context.rate else AT_ONCE
    while page := context.tried(lambda: context.table.finished(finished)):
        for start in range(0, len(page), at_once):
            yield page[start : start + at_once]


def forget(context: PurgeContext, held: Mapping[str, int], limit: int, result: PurgeResult) -> None:
    """Forget the jobs that were purged before `limit` (microseconds) and of which nothing can come any more. Blocks.

    `held` has for each log of the topic the first offset that it, or a dead letter, still has.
    """
    result.complete, after = False, ""
    while not context.stop.is_set():
        page = context.tried(lambda: context.table.forget(held, limit, after))  # noqa: B023 - called at once
        result.forgotten += page.forgotten
        if page.last is None:
            result.complete = True
            return
        after = page.last


def held_offsets(
    logs: Mapping[int, Log], reader: RangeReader, letters: RangeReader | None, stop: Callable[[], bool]
) -> dict[str, int]:
    """For each log of the topic, earlier incarnations included: the first offset that it, or a dead letter, still has.

    Reads all dead letters. Raises `StopRequestedError` after a stop, because then some are not known.
    """
    held = {}
    for number, watermarks in reader.watermarks().items():
        log = logs[number]
        for incarnation in range(log.incarnation + 1):
            held[log._replace(incarnation=incarnation).id] = watermarks.low
    if letters is not None:
        ranges = [(number, item.low, item.high) for number, item in letters.watermarks().items()]
        for chunk in letters.read(ranges, dict.fromkeys(letters.partitions, ""), stop):
            for letter in filter(None, map(letter_of, chunk)):
                known = held.get(letter.original.log_id)
                if known is not None:
                    held[letter.original.log_id] = min(known, letter.original.offset)
    end_if_stopped(stop)
    return held
