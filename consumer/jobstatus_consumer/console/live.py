"""What the pages that move show: one snapshot at a time, made once for all who look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from jobstatus_consumer.config import Settings
from jobstatus_consumer.console.background import Letters, Verified, compare, read_letters, read_overdue
from jobstatus_consumer.console.sources import Sources
from jobstatus_consumer.console.trends import Position, Trends
from jobstatus_consumer.console.watch import Seen, Watch
from jobstatus_consumer.errors import BrokerAwayError, CoordinatorAwayError, JobStatusError
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.operations import (
    BrokerSide,
    StatusReport,
    ask_broker,
    oldest_unwritten,
    partitions_of,
    waiting_for,
)
from jobstatus_consumer.store import Limits as StoreLimits
from jobstatus_consumer.store import OverviewTable, TableOverview, WatchedTable, open_read_only

BROKER_EVERY: Final = 1.0
TABLE_EVERY: Final = 0.95
ROWS_EVERY: Final = 10.0
LETTERS_EVERY: Final = 5.0
OLDEST_EVERY: Final = 3.0
POINT_EVERY: Final = 1.0
SILENCE_SECONDS: Final = 2.0
"""After so long without an answer of the database the streams send again: ages have grown, and the rest is news."""
ROWS_SHARE: Final = 0.05
"""Counting reads the whole table, so it takes at most this share of the time."""
COUNTED_UP_TO: Final = 5_000_000
"""Rows beyond which the table is not counted any more."""
TABLE_LIMITS: Final = StoreLimits(connect=2.0, statement=5.0, lock=2.0, deaf=6.0)
COUNT_LIMITS: Final = StoreLimits(connect=2.0, statement=30.0, lock=2.0, deaf=15.0)
RENEW_AFTER: Final = 10.0
"""Seconds without an answer of a broker after which the clients are replaced."""
CLOCKS_DIFFER: Final = 5.0
"""Seconds by which two clocks differ when the page says so."""
STALE_AFTER: Final = 5.0
"""Seconds without an answer after which a half is called stale."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The number of rows by status, and the server's own estimate of all rows.

    `exact` is False where the table is too large to be counted: then these are estimates, too.
    """

    by_status: dict[str, int]
    estimated: int | None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one time (`at`, in seconds since 1970-01-01 UTC); a half that is stale is the last known one."""

    at: float
    report: StatusReport
    broker: Seen[BrokerSide]
    table: Seen[TableOverview]
    rows: Seen[Rows]

    @property
    def stale(self) -> list[str]:
        """Which halves are not known now."""
        halves: dict[str, Seen[Any]] = {"Kafka": self.broker, "the database": self.table}
        return [name for name, seen in halves.items() if seen.asked and is_stale(seen, self.at)]

    @property
    def clock_ahead(self) -> float:
        """By how many seconds the database's clock is ahead of this machine's; 0 for a difference that hardly shows."""
        ahead = 0.0 if self.table.value is None else self.table.value.clock_ahead
        return ahead if abs(ahead) > CLOCKS_DIFFER else 0.0

    @property
    def true_at(self) -> float | None:
        """When all of it was last true; None if it never was."""
        times = (self.broker.at, self.table.at)
        return None if None in times else min(time for time in times if time is not None)


def is_stale(seen: Seen[Any], now: float) -> bool:
    """Whether the answer is older than a working console would have it."""
    return seen.problem is not None or seen.at is None or now - seen.at > STALE_AFTER


class Live:
    """Watches Kafka and the database, and wakes the streams each time that the database was asked.

    One watch wakes them, not each: what Kafka answered is shown with the next look at the database, within a second.
    So a hundred open pages cost one event a second each.

    All but the watches' own threads belongs to the event loop.
    """

    def __init__(self, settings: Settings, sources: Sources, verify_every: int | None = None) -> None:
        self._settings = settings
        self._sources = sources
        self._table = OverviewTable(settings.database, settings.table, opener=open_read_only, limits=TABLE_LIMITS)
        self._counted = OverviewTable(settings.database, settings.table, opener=open_read_only, limits=COUNT_LIMITS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self.ended = False
        self.started_at = time.time()
        """seconds since 1970-01-01 UTC"""
        self._topics: Topics | None = None
        self._broker_answered = time.monotonic()
        self.streams = 0
        """the number of open streams"""
        self.trends = Trends()
        self._version = 0
        self._made: dict[str, tuple[int, bytes]] = {}
        self.broker = Watch("broker", self._ask_broker, every=BROKER_EVERY, end=self._let_go)
        self.table = Watch("table", self._table.look, every=TABLE_EVERY, told=self._tell, end=self._table.close)
        self._watched = WatchedTable(settings.database, settings.table, opener=open_read_only, limits=COUNT_LIMITS)
        self.rows = Watch("rows", self._count, every=ROWS_EVERY, share=ROWS_SHARE, end=self._uncount)
        self.oldest = Watch("oldest", self._oldest, every=OLDEST_EVERY)
        overdue = WatchedTable(settings.database, settings.table, opener=open_read_only, limits=COUNT_LIMITS)
        self.letters = Watch("letters", self._letters, every=LETTERS_EVERY, share=ROWS_SHARE)
        self.overdue = Watch(
            "overdue", lambda: read_overdue(settings, overdue), every=ROWS_EVERY, share=ROWS_SHARE, end=overdue.close
        )
        self._watches: list[Watch[Any]] = [self.broker, self.table, self.rows, self.oldest, self.letters, self.overdue]
        self.verified: Watch[Verified] | None = None
        if verify_every is not None:
            self.verified = Watch("verify", self._verify, every=verify_every)
            self._watches.append(self.verified)

    def start(self) -> None:
        """Begin to watch; to be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        for watch in self._watches:
            watch.start()

    async def record(self) -> None:
        """Add a point to `trends` each second, until the console ends."""
        while not self.ended:
            snapshot = self.snapshot()
            positions = None
            if snapshot.table.value is not None and snapshot.report.partitions and not snapshot.stale:
                positions = {
                    item.log.partition: Position(item.next_offset, item.high) for item in snapshot.report.partitions
                }
            self.trends.add(snapshot.at, positions, self.oldest.seen.value)
            await asyncio.sleep(POINT_EVERY)

    def close(self) -> None:
        """Watch no more, and end every stream. Does not block."""
        self.ended = True
        self._changed.set()
        for watch in self._watches:
            watch.close()
        for table in (self._table, self._counted):
            table.cut()

    def join(self, seconds: float) -> None:
        """Wait for the end of the watches' threads, `seconds` for each."""
        for watch in self._watches:
            watch.join(seconds)

    def snapshot(self) -> Snapshot:
        """What is known now. Never blocks."""
        broker, table, rows = self.broker.seen, self.table.seen, self.rows.seen
        problems: list[JobStatusError] = [seen.problem for seen in (broker, table) if seen.problem is not None]
        partitions = partitions_of(self._settings, broker.value, table.value)
        now = time.time()
        report = StatusReport(now, broker.value, table.value, problems, partitions)
        return Snapshot(now, self._with_waits(report, broker, table), broker, table, rows)

    async def next_change(self) -> None:
        """Return once the database was asked anew, the console ends, or `SILENCE_SECONDS` are over."""
        await self._changed.wait()

    async def wake_after_silence(self) -> None:
        """Wake the streams while the database does not answer, until the console ends."""
        while not self.ended:
            try:
                await asyncio.wait_for(self._changed.wait(), SILENCE_SECONDS)
            except TimeoutError:
                self._wake()

    def shared(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return what `make` made of what is known now; for all who ask for `name` it is made once."""
        version, made = self._made.get(name, (-1, b""))
        if version != self._version:
            made = make()
            self._made[name] = self._version, made
        return made

    def _with_waits(self, report: StatusReport, broker: Seen[BrokerSide], table: Seen[TableOverview]) -> StatusReport:
        """Add what is waited for; a half that does not answer now counts as unknown for that."""
        known = replace(
            report,
            broker=None if broker.problem else report.broker,
            table=None if table.problem else report.table,
        )
        return replace(report, waiting_for=tuple(waiting_for(self._settings, known)))

    def _ask_broker(self) -> BrokerSide:
        try:
            topics = self._topics = self._topics or self._sources.new_topics()
            found = self._ask(topics)
        except CoordinatorAwayError:
            # the brokers were reached before, so new clients would change nothing
            self._broker_answered = time.monotonic()
            raise
        except BrokerAwayError:
            if time.monotonic() - self._broker_answered > RENEW_AFTER:
                self._broker_answered = time.monotonic()
                self._topics = None
                self._sources.renew()
            raise
        self._broker_answered = time.monotonic()
        return found

    def _ask(self, topics: Topics) -> BrokerSide:
        before = topics.renewals
        try:
            return ask_broker(self._settings, topics)
        finally:
            # also where the question failed: no later one would show that the client was made again
            if topics.renewals != before:
                self._sources.renew()  # the readers of the log have read the same files

    def _let_go(self) -> None:
        # this object is part of cycles, and a client's sockets and threads should not wait for their collection
        self._topics = None

    def _oldest(self) -> float | None:
        """When the oldest unwritten event was appended; None if all is written."""
        partitions = partitions_of(self._settings, self.broker.seen.value, self.table.seen.value)
        if not any(item.lag for item in partitions):
            return None
        return self._sources.oldest.use(lambda reader: oldest_unwritten(reader, partitions, lambda: self.ended))

    def _letters(self) -> Letters:
        broker = self.broker.seen.value
        if broker is not None and not broker.dead_letters:
            return Letters()
        return read_letters(self._settings, self._sources, lambda: self.ended)

    def _verify(self) -> Verified:
        return compare(self._settings, self._sources, lambda: self.ended)

    def _count(self) -> Rows:
        estimated = self._counted.estimated_rows()
        if estimated is not None and estimated > COUNTED_UP_TO:
            found = self._watched.estimated_by_status()
            by_status = {status: round(rows) for status, rows in sorted(found.items(), key=lambda item: -item[1])}
            return Rows(by_status, estimated, exact=False)
        return Rows(self._counted.rows_by_status(), estimated)

    def _uncount(self) -> None:
        self._counted.close()
        self._watched.close()

    def _tell(self) -> None:
        """Wake all who wait; called in the threads of the watches."""
        if self._loop is not None and not self.ended:
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return  # the loop has ended

    def _wake(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()
