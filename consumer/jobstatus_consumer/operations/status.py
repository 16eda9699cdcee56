"""How a deployment stands now: what the log has, what the table has of it, who reads it, and what is waited for.

Broker and database are asked independently of each other, so one of them is enough for its half of the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeVar

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Watermarks, decoder_of, newest_log, used_up
from jobstatus_consumer.errors import (
    BrokerAwayError,
    CoordinatorAwayError,
    DatabaseAwayError,
    JobStatusError,
    StartError,
    StopRequestedError,
)
from jobstatus_consumer.kafka import (
    FETCH_LITTLE,
    CommittedOffset,
    GroupFacts,
    RangeReader,
    Topics,
    commits_of_described,
    unfit,
)
from jobstatus_consumer.operations.redrive import LetterSelection, survey
from jobstatus_consumer.records import Log
from jobstatus_consumer.store import Table, TableOverview, overview

BROKER_SECONDS: Final = 4.0
"""How long a broker may take for its first answer."""
NEAR: Final = 16
"""The oldest event is among so many offsets; the first ones may be marks of transactions."""
READ_SECONDS: Final = 3.0
"""How long the oldest unwritten events, or the dead letters, are read."""
SAMPLE_SECONDS: Final = 1.0
"""Between the two looks at the table's progress that give the rate."""
NOT_STABLE: Final = ("PREPARING_REBALANCING", "COMPLETING_REBALANCING", "ASSIGNING", "RECONCILING")

Stop = Callable[[], bool]
T = TypeVar("T")


class PartitionStatus(NamedTuple):
    """One partition. All are next offsets; `written` is the table's, None if it is not known."""

    log: Log
    low: int
    high: int
    committed: int | None
    written: int | None

    @property
    def next_offset(self) -> int:
        """The first offset that is not known to be written."""
        known = [offset for offset in (self.committed, self.written) if offset is not None]
        return max(self.low, min(known, default=self.low))

    @property
    def lag(self) -> int:
        """How many offsets are not known to be written: the group's commit and the table's progress both count."""
        return max(0, self.high - self.next_offset)

    def as_dict(self) -> dict[str, int | None]:
        """The partition for programs; all offsets are next offsets."""
        return {
            "partition": self.log.partition,
            "low": self.low,
            "high": self.high,
            "committed": self.committed,
            "table": self.written,
            "lag": self.lag,
        }


class BrokerSide(NamedTuple):
    """What the broker says of the topic and the group."""

    group: GroupFacts
    topic_id: str
    watermarks: Mapping[int, Watermarks]
    committed: Mapping[int, CommittedOffset]
    dead_letters: int
    """records in the dead letters' topic, settled ones too"""


class OpenLetters(NamedTuple):
    """The number of open dead letters; of those that were read, if reading all of them took too long."""

    number: int
    complete: bool


@dataclass(frozen=True, slots=True)
class StatusReport:
    """All of it; what could not be found out is None, and `problems` says why."""

    at: float
    broker: BrokerSide | None = None
    table: TableOverview | None = None
    problems: Sequence[JobStatusError] = ()
    partitions: Sequence[PartitionStatus] = ()
    oldest: float | None = None
    """when the oldest unwritten event was appended, in seconds since 1970-01-01 UTC"""
    letters: OpenLetters | None = None
    rate: float | None = None
    """offsets a second; None if nothing is to be written, or if it is not known"""
    waiting_for: Sequence[str] = field(default_factory=tuple)

    @property
    def remarks(self) -> Sequence[str]:
        """What is unusual, and keeps nothing from being written."""
        return [self.table.other_groups] if self.table is not None and self.table.other_groups else []

    @property
    def lag(self) -> int | None:
        """The offsets of all partitions that are not known to be written."""
        return None if self.broker is None else sum(item.lag for item in self.partitions)

    @property
    def lag_seconds(self) -> float | None:
        """The age of the oldest unwritten event; 0 if all is written, None if it is not known."""
        if self.oldest is not None:
            return max(0.0, self.at - self.oldest)
        return 0.0 if self.lag == 0 and self.table is not None else None

    @property
    def last_write(self) -> float | None:
        """When the table was last written to by a consumer, in seconds since 1970-01-01 UTC."""
        progress = self.table.progress.values() if self.table is not None else ()
        return max((item.written_at for item in progress), default=None)


def look(settings: Settings, topics: Topics, stop: Stop = lambda: False) -> StatusReport:
    """Ask broker and database how the deployment stands. Blocks for some seconds; raises `StopRequestedError`."""
    problems: list[JobStatusError] = []
    table = _try(problems, lambda: overview(settings.database, settings.table, group=settings.group_id))
    looked_at = time.monotonic()
    broker = _try(problems, lambda: ask_broker(settings, topics))
    report = StatusReport(time.time(), broker, table, problems, partitions_of(settings, broker, table))
    if table is not None and table.trouble:
        problems.append(JobStatusError(table.trouble))
    if broker is not None:
        report = _with_what_is_read(settings, topics, report, broker, problems, stop)
    if report.lag and table is not None:
        report = replace(report, rate=_try(problems, lambda: _rate(settings, table, looked_at)))
    return replace(report, at=time.time(), problems=problems, waiting_for=list(waiting_for(settings, report)))


def _try(problems: list[JobStatusError], question: Callable[[], T]) -> T | None:
    try:
        return question()
    except StopRequestedError:
        raise
    except JobStatusError as error:
        problems.append(error)
        return None


def ask_broker(settings: Settings, topics: Topics) -> BrokerSide:
    """Ask the broker for its half. Blocks; raises `StartError` for a topic that does not fit, and `BrokerError`."""
    topics.reach(BROKER_SECONDS)
    trouble = unfit(topics.describe(settings.topic), settings.topic)
    if trouble:
        raise StartError(trouble)
    letters = settings.dead_letter_topic
    marks = topics.watermarks(letters, topics.partitions(letters))
    return BrokerSide(
        topics.group_facts(settings.group_id),
        topics.topic_id(settings.topic),
        topics.watermarks(settings.topic, topics.partitions(settings.topic)),
        commits_of_described(settings, topics),
        sum(high - low for low, high in marks.values()),
    )


def partitions_of(settings: Settings, broker: BrokerSide | None, table: TableOverview | None) -> list[PartitionStatus]:
    """Each partition, by what broker and database say of it; none if the broker's half is not known."""
    if broker is None:
        return []
    known = {} if table is None else {log_id: item.next_offset for log_id, item in table.progress.items()}
    found = []
    for number, (low, high) in sorted(broker.watermarks.items()):
        commit = broker.committed.get(number, CommittedOffset())
        current = commit.topic_id == broker.topic_id
        log = Log(settings.topic, broker.topic_id, number, commit.incarnation if current else 0)
        log = newest_log(log, known)
        # without progress of the log the table has nothing of it
        written = known.get(log.id, low if high > low else None) if table is not None else None
        # a commit of a topic that was made again says nothing of this one
        committed = commit.offset if current or not commit.topic_id else None
        found.append(PartitionStatus(log, low, high, committed, written))
    return found


def _with_what_is_read(
    settings: Settings,
    topics: Topics,
    report: StatusReport,
    broker: BrokerSide,
    problems: list[JobStatusError],
    stop: Stop,
) -> StatusReport:
    """Add the age of the oldest unwritten event, and the number of open dead letters."""
    if report.lag:
        report = replace(report, oldest=_try(problems, lambda: _oldest(settings, topics, report.partitions, stop)))
    if not broker.dead_letters:
        return replace(report, letters=OpenLetters(0, complete=True))
    if report.table is None:
        return report
    return replace(report, letters=_try(problems, lambda: _open_letters(settings, topics, stop)))


def _oldest(settings: Settings, topics: Topics, partitions: Sequence[PartitionStatus], stop: Stop) -> float | None:
    with RangeReader(settings, topics, fetch=FETCH_LITTLE) as reader:
        return oldest_unwritten(reader, partitions, stop)


def oldest_unwritten(
    reader: RangeReader, partitions: Sequence[PartitionStatus], stop: Stop = lambda: False
) -> float | None:
    """When the oldest unwritten event was appended, in seconds since 1970-01-01 UTC; None if all are written.

    Blocks for `READ_SECONDS` at most; raises `BrokerError`.
    """
    ranges = [
        (item.log.partition, item.next_offset, min(item.high, item.next_offset + NEAR))
        for item in partitions
        if item.lag
    ]
    ids = {item.log.partition: item.log.id for item in partitions}
    times: dict[int, int] = {}
    enough = within(READ_SECONDS, lambda: stop() or len(times) == len(ranges))
    for chunk in reader.read(ranges, ids, enough):
        for raw in chunk:
            times.setdefault(raw.partition, raw.timestamp)
    return min((milliseconds / 1000 for milliseconds in times.values() if milliseconds >= 0), default=None)


def count_open_letters(settings: Settings, stop: Stop) -> int:
    """The number of open dead letters, of those that could be read in `READ_SECONDS`. Blocks; raises `JobStatusError`.

    The topic's ends are asked first: usually there is nothing to read.
    """
    topics = Topics(settings, patience=BROKER_SECONDS)
    letters = settings.dead_letter_topic
    marks = topics.watermarks(letters, topics.partitions(letters))
    if all(low == high for low, high in marks.values()):
        return 0
    return _open_letters(settings, topics, stop).number


def _open_letters(settings: Settings, topics: Topics, stop: Stop) -> OpenLetters:
    enough = within(READ_SECONDS, stop)
    with (
        RangeReader(settings, topics, topic=settings.dead_letter_topic) as reader,
        Table(settings.database, settings.table) as table,
    ):
        own = LetterSelection(settings.topic, group=settings.group_id, table=settings.table)
        found = survey(reader, table, own, decoder_of(settings), enough)
    return OpenLetters(found.open, complete=not enough())


def within(seconds: float, stop: Stop) -> Stop:
    """Return what says that it is enough: `seconds` from now are over, or `stop` says so."""
    deadline = time.monotonic() + seconds
    return lambda: stop() or time.monotonic() > deadline


def _rate(settings: Settings, before: TableOverview, looked_at: float) -> float:
    """How fast the table's progress moves. Blocks until `SAMPLE_SECONDS` have passed since `before`."""
    time.sleep(max(0.0, looked_at + SAMPLE_SECONDS - time.monotonic()))
    after = overview(settings.database, settings.table, count=False)
    done = sum(
        max(0, item.next_offset - before.progress[log_id].next_offset)
        for log_id, item in after.progress.items()
        if log_id in before.progress and log_id.startswith(f"{settings.topic}/")
    )
    return done / (time.monotonic() - looked_at)


def waiting_for(settings: Settings, report: StatusReport) -> Iterator[str]:
    """What the events wait for, as `waiting for ...` goes on."""
    if any(isinstance(error, DatabaseAwayError) for error in report.problems) and report.table is None:
        yield "the database, which does not answer"
    away = [error for error in report.problems if isinstance(error, BrokerAwayError)]
    if not all(isinstance(error, CoordinatorAwayError) for error in away):
        yield "a broker: none answers"
    if report.broker is not None:
        yield from _waiting_for_the_group(settings, report, report.broker)
    for item in report.table.blocked if report.table is not None else ():
        yield f"a lock of the session {item.who}: {item.what}"


def _waiting_for_the_group(settings: Settings, report: StatusReport, broker: BrokerSide) -> Iterator[str]:
    used = used_up(settings, (commit.budget for commit in broker.committed.values()))
    if used:
        yield f"you: {used}; look at jobstatus dlq list, then jobstatus dlq budget clear"
    if broker.group.state in NOT_STABLE:
        yield "a rebalance of the group"
    elif not broker.group.members and report.lag:
        yield f"a consumer: the group {settings.group_id} has no members"
