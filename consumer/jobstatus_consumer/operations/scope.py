"""What is read again: stretches of the log, with the log ids that the live consumer gives them, and what is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from jobstatus_consumer.core.dead_letters import PREFIX
from jobstatus_consumer.core.decode import decode
from jobstatus_consumer.core.start_offsets import newest_log
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.operations.ranges import NOTHING, Found, OffsetRange, parse_bound, resolve
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected

Chunk = TypeVar("Chunk")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events count; nothing given means all."""

    jobs: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()

    @property
    def all(self) -> bool:
        """Whether there is no filter."""
        return not self.jobs and not self.statuses


@dataclass(frozen=True, slots=True)
class Scope:
    """What to read. `allowed` are the words that the live consumer takes, where they are limited."""

    topic: str
    stretches: Sequence[OffsetRange]
    logs: Mapping[int, Log]
    wanted: Wanted = Wanted()
    allowed: Container[str] | None = None
    remarks: Sequence[str] = ()
    decode: Callable[[RawRecord, Container[str] | None], Event | Rejected] = decode

    @property
    def offsets(self) -> int:
        """How many offsets there are to read, gaps included."""
        return sum(item.size for item in self.stretches)

    @property
    def log_ids(self) -> dict[int, str]:
        """What a row remembers of each partition's log."""
        return {number: log.id for number, log in self.logs.items()}


@dataclass(slots=True)
class Counts:
    """What was met on the way: records, those that are wanted events, and why others are none."""

    records: int = 0
    events: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    seen_jobs: set[str] = field(default_factory=set)
    """of the jobs that were asked for by name"""


def find(
    reader: RangeReader, first: str, last: str, now: datetime | None = None, done: Mapping[int, int] = NOTHING
) -> Found:
    """The stretches that `--from` and `--to` name, held against what the topic has now; without what is `done`."""
    now = now or datetime.now(UTC)
    edges = parse_bound("--from", first, now), parse_bound("--to", last, now)
    return resolve(*edges, reader.bounds(), reader, done)


def current_logs(
    reader: RangeReader, commits: Mapping[int, CommittedOffset], known: Mapping[str, int]
) -> dict[int, Log]:
    """The log of each partition as the live consumer names it: its generation counts accepted losses.

    The group's commit says it, and so does the table's progress; where they disagree the later one is true.
    """
    logs = {}
    for number in reader.partitions:
        log = Log(reader.topic, reader.topic_id, number)
        commit = commits.get(number, CommittedOffset())
        incarnation = commit.incarnation if commit.topic_id == log.topic_id else 0
        logs[number] = newest_log(log._replace(incarnation=incarnation), known)
    return logs


def events(
    reader: RangeReader,
    scope: Scope,
    counts: Counts,
    stop: Callable[[], bool],
    of_key: Callable[[bytes | None], bool] | None = None,
    rejected: Callable[[RawRecord], object] = lambda raw: None,
) -> Iterator[list[Event]]:
    """The wanted events in chunks, in log order within each partition; `counts` goes along.

    `of_key` says which keys are wanted, and `rejected` is called with every wanted record that is no event.
    """
    keys: frozenset[bytes | None] = frozenset(job.encode() for job in scope.wanted.jobs)
    for chunk in reader.read(scope.stretches, scope.log_ids, stop):
        counts.records += len(chunk)
        if keys:
            chunk = [raw for raw in chunk if raw.key in keys]
        if of_key is not None:
            chunk = [raw for raw in chunk if of_key(raw.key)]
        found = _decoded(chunk, scope, counts, rejected)
        counts.events += len(found)
        if keys:
            counts.seen_jobs.update(event.job_id for event in found)
        yield found


def alongside(chunks: Iterator[Chunk], work: Callable[[Chunk], object]) -> Generator[Chunk]:
    """Give each chunk once `work` is done with it, in order; the next one is read and decoded meanwhile.

    Raises what `work` raises; `work` has a thread of its own, which has ended when the iterator has.
    """
    with ThreadPoolExecutor(1, "jobstatus-work") as worker:
        before: tuple[Future[object], Chunk] | None = None
        for chunk in chunks:
            if before is not None:
                before[0].result()
                yield before[1]
            before = worker.submit(work, chunk), chunk
        if before is not None:
            before[0].result()
            yield before[1]


def _decoded(
    chunk: Sequence[RawRecord], scope: Scope, counts: Counts, rejected: Callable[[RawRecord], object]
) -> list[Event]:
    statuses, found = scope.wanted.statuses, []
    for raw in chunk:
        if raw.headers and any(name.startswith(PREFIX) for name, _ in raw.headers):
            raise StartError(
                f"{scope.topic} holds dead letters, whose positions are not their own: "
                "jobstatus dlq redrive applies them"
            )
        event = scope.decode(raw, scope.allowed)
        if isinstance(event, Rejected):
            counts.undecodable[event.reason] += 1
            rejected(raw)
        elif not statuses or event.status in statuses:
            found.append(event)
    return found
