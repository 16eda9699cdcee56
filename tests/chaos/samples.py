"""Looking at the deployment all the time, past the proxy, whatever is broken at the moment."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from chaos.checks import LetterWatch, RowWatch, Seen, check_committed
from chaos.findings import Findings
from chaos.history import History
from chaos.letters import Letters
from chaos.tail import Ends, Tail

ROWS: Final = (
    b"SELECT job_id, coalesce(log_id, ''), coalesce(log_offset, -1), "
    b"coalesce((extract(epoch FROM latest_occurred_at) * 1000000)::bigint, 0), event_id::text FROM jobs"
)
PROGRESS: Final = b"SELECT log_id, next_offset FROM jobs_progress"
OFFSETS: Final = b"SELECT job_id, log_offset FROM jobs"


class Loop:
    """Does `step` again and again in a thread of its own, until the end of a `with`; an error ends the run loudly."""

    def __init__(self, name: str, step: Callable[[], None], pause: float) -> None:
        self._step = step
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.error: BaseException | None = None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - it is raised where the run ends
                self.error = error
                return
            self._stop.wait(self._pause)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        if self.error is not None and error is None:
            raise self.error


class Database:
    """A session of the checker's own, made anew when the server was away; None is the answer while it is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def ask(self, *queries: bytes) -> list[list[tuple[Any, ...]]] | None:
        """The answers out of one snapshot."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, connect_timeout=3, application_name="chaos checker")
                self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with self._connection.transaction():
                return [self._connection.execute(query).fetchall() for query in queries]
        except psycopg.OperationalError:
            self.close()
            return None

    def close(self) -> None:
        """End the session."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Moment(NamedTuple):
    """At a time of the monotonic clock, an offset for each partition."""

    at: float
    offsets: dict[int, int]


@dataclass
class Timeline:
    """How far the log went, and how far the table's progress followed."""

    log: list[Moment] = field(default_factory=list)
    table: list[Moment] = field(default_factory=list)

    def written(self) -> int:
        """How many records the table's progress has passed."""
        return sum(self.table[-1].offsets.values()) if self.table else 0

    def went_on(self, since: float) -> float | None:
        """Seconds from `since` until everything was written that was in the log then; None while it is not."""
        first = bisect_left(self.log, since, key=lambda moment: moment.at)
        if first == len(self.log):
            return None
        wanted = self.log[first].offsets
        for moment in self.table[bisect_left(self.table, since, key=lambda moment: moment.at) :]:
            if all(moment.offsets.get(partition, 0) >= end for partition, end in wanted.items()):
                return moment.at - since
        return None


class EndSampler:
    """The ends of the log, some times a second."""

    def __init__(self, ends: Ends, timeline: Timeline) -> None:
        self._ends = ends
        self._timeline = timeline

    def step(self) -> None:
        """One sample, if every leader answers."""
        began = time.monotonic()
        if found := self._ends.now():
            self._timeline.log.append(Moment(began, found))


class RowSampler:
    """The table, some times a second: no row goes back, and how far it has come."""

    def __init__(self, url: str, timeline: Timeline, findings: Findings) -> None:
        self._database = Database(url)
        self.watch = RowWatch(findings)
        self.timeline = timeline

    def step(self) -> None:
        """One sample, if the database is there."""
        found = self._database.ask(ROWS, PROGRESS)
        if found is not None:
            rows, progress = found
            self.watch.saw(Seen(*row) for row in rows)
            offsets = {int(log_id.rsplit("/", 1)[1]): offset for log_id, offset in progress}
            self.timeline.table.append(Moment(time.monotonic(), offsets))

    def close(self) -> None:
        """End the session."""
        self._database.close()


class CommitSampler:
    """The committed offsets first, then what should be there because of them."""

    def __init__(self, url: str, group: str, tails: tuple[Tail, Tail], bootstrap: str, findings: Findings) -> None:
        self._database = Database(url)
        self._events, self._dead = tails
        self._group = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
        self._findings = findings
        self._unsent = LetterWatch(findings)
        self.history = History()
        self.letters = Letters(tails[0].topic_id)
        self.samples = 0
        self.poison_passed = 0
        self.committed = 0
        """the sum of the offsets that the group had committed at the latest look"""

    def step(self) -> None:
        """One sample, if everything that it needs answers; else the next one looks at the same."""
        committed = self._committed()
        if committed is not None:
            self.committed = sum(committed.values())
        if not committed or not self._read_events(committed) or not self._read_letters():
            return
        found = self._database.ask(OFFSETS)
        if found is None:
            return
        offsets = {str(job): int(offset) for job, offset in found[0]}
        due, passed = self.history.advance(committed)
        check_committed(due, offsets, self._findings)
        self._unsent.passed(passed, self.history, self.letters, time.monotonic())
        self.poison_passed += len(passed)
        self.samples += 1

    def _committed(self) -> dict[int, int] | None:
        wanted = [TopicPartition(self._events.topic, number) for number in self._events.next]
        try:
            found = self._group.committed(wanted, timeout=3.0)
        except KafkaException:
            return None
        return {item.partition: item.offset for item in found if item.offset >= 0 and item.error is None}

    def _read_events(self, ends: dict[int, int]) -> bool:
        records, reached = self._events.read_to(ends, 3.0)
        self.history.take(records)
        return reached

    def _read_letters(self) -> bool:
        ends = self._dead.ends()
        if not ends:
            return False
        letters, reached = self._dead.read_to(ends, 3.0)
        self.letters.take(letters)
        return reached

    def close(self) -> None:
        """End the session and the readers."""
        self._database.close()
        self._group.close()
        self._events.close()
        self._dead.close()
