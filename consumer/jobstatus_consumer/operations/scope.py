"""What is read again: ranges of the log, the log ids that the live consumer gives them, and which events count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from jobstatus_consumer.core import PREFIX, Decoder, newest_log
from jobstatus_consumer.errors import StartError, StopRequestedError
from jobstatus_consumer.kafka import CommittedOffset, RangeReader
from jobstatus_consumer.operations.ranges import NOTHING, OffsetRange, ResolvedRanges, parse_bound, resolve
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected

Chunk = TypeVar("Chunk")
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows what is being done, and how much of its total number of steps is done."""


def quiet(what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """A `Progress` that shows nothing."""
    return nullcontext(lambda done: None)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events count: those of these jobs, statuses and workers. An empty set means all."""

    jobs: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    workers: frozenset[str] = frozenset()

    @property
    def all(self) -> bool:
        """Whether there is no filter."""
        return not self.jobs and not self.statuses and not self.workers

    def as_dict(self) -> dict[str, list[str]]:
        """For the audit log."""
        return {"jobs": sorted(self.jobs), "statuses": sorted(self.statuses), "workers": sorted(self.workers)}

    def has(self, event: Event) -> bool:
        """Whether the event's status and worker are wanted."""
        if self.statuses and event.status not in self.statuses:
            return False
        return not self.workers or event.content.worker_id in self.workers


@dataclass(frozen=True, slots=True)
class Scope:
    """What to read, and the live consumer's decoder."""

    topic: str
    ranges: Sequence[OffsetRange]
    logs: Mapping[int, Log]
    wanted: EventFilter = EventFilter()
    decoder: Decoder = field(default_factory=Decoder)
    remarks: Sequence[str] = ()
    cuts: Mapping[str, int] = field(default_factory=dict)
    """By the id of a log before its newest incarnation: the first offset that it lost."""

    @property
    def offsets(self) -> int:
        """The number of offsets to read, gaps included."""
        return sum(item.size for item in self.ranges)

    @property
    def log_ids(self) -> dict[int, str]:
        """By partition, the log id that rows hold."""
        return {number: log.id for number, log in self.logs.items()}


@dataclass(slots=True)
class ReadCounts:
    """What was read: records, wanted events, and by reason the records that are no events."""

    records: int = 0
    events: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    seen_jobs: set[str] = field(default_factory=set)
    """Those of the jobs named by the user that have an event."""


def find(
    reader: RangeReader, first: str, last: str, now: datetime | None = None, done: Mapping[int, int] = NOTHING
) -> ResolvedRanges:
    """The ranges that `--from` and `--to` name, checked against what the topic has now, from `done` on.

    Raises `SettingsError` for words or offsets that make no range. Asks the broker.
    """
    now = now or datetime.now(UTC)
    edges = parse_bound("--from", first, now), parse_bound("--to", last, now)
    return resolve(*edges, reader.watermarks(), reader, done)


def current_logs(
    reader: RangeReader, commits: Mapping[int, CommittedOffset], known: Mapping[str, int]
) -> dict[int, Log]:
    """The log of each partition as the live consumer names it: its incarnation counts accepted losses.

    Both the group's commit and the table's progress (`known`) hold it; if they disagree, the later one is right.
    """
    logs = {}
    for number in reader.partitions:
        log = Log(reader.topic, reader.topic_id, number)
        commit = commits.get(number, CommittedOffset())
        incarnation = commit.incarnation if commit.topic_id == log.topic_id else 0
        logs[number] = newest_log(log._replace(incarnation=incarnation), known)
    return logs


def lost_tails(logs: Iterable[Log], first_offsets: Mapping[str, int]) -> dict[str, int]:
    """The earlier incarnations of `logs`, each with the lowest offset at which a later one began."""
    cuts = {}
    for log in logs:
        cut: int | None = None
        for incarnation in range(log.incarnation, 0, -1):
            began = first_offsets.get(log._replace(incarnation=incarnation).id)
            cut = min((offset for offset in (cut, began) if offset is not None), default=None)
            if cut is not None:
                cuts[log._replace(incarnation=incarnation - 1).id] = cut
    return cuts


def events(
    reader: RangeReader,
    scope: Scope,
    counts: ReadCounts,
    stop: Callable[[], bool],
    of_key: Callable[[bytes | None], bool] | None = None,
    rejected: Callable[[RawRecord], object] = lambda raw: None,
) -> Iterator[list[Event]]:
    """The wanted events in chunks, in log order within each partition. `counts` is updated before each chunk.

    `of_key` says which keys are wanted, and `rejected` is called with every wanted record that is no event.
    """
    keys: frozenset[bytes | None] = frozenset(job.encode() for job in scope.wanted.jobs)
    for chunk in reader.read(scope.ranges, scope.log_ids, stop):
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


def events_of(
    reader: RangeReader, scope: Scope, jobs: Iterable[str], stop: Callable[[], bool], progress: Progress, what: str
) -> Iterator[list[Event]]:
    """Yield the events of these jobs in chunks; a person sees `what` meanwhile.

    Blocks for the broker. Raises `StopRequestedError` after a stop.
    """
    wanted, counts = replace(scope, wanted=EventFilter(jobs=frozenset(jobs))), ReadCounts()
    with progress(what, wanted.offsets) as observe:
        for chunk in events(reader, wanted, counts, stop):
            yield chunk
            observe(counts.records)
    end_if_stopped(stop)


def end_if_stopped(stop: Callable[[], bool]) -> None:
    """Raise `StopRequestedError` if a stop was requested."""
    if stop():
        raise StopRequestedError("a stop was requested")


def alongside(chunks: Iterator[Chunk], work: Callable[[Chunk], object]) -> Generator[Chunk]:
    """Call `work` with each chunk in a thread of its own, while the next one is read and decoded here.

    Yields each chunk once `work` is done with it, in order. Raises what `work` raises. The thread has ended when the
    iterator has.
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
    chunk: Sequence[RawRecord], scope: Scope, counts: ReadCounts, rejected: Callable[[RawRecord], object]
) -> list[Event]:
    wanted, decode, found = scope.wanted, scope.decoder.decode, []
    some = bool(wanted.statuses or wanted.workers)
    for raw in chunk:
        if raw.headers and any(name.startswith(PREFIX) for name, _ in raw.headers):
            raise StartError(
                f"{scope.topic} holds dead letters, whose positions are not their own: "
                "jobstatus dlq redrive applies them"
            )
        event = decode(raw)
        if isinstance(event, Rejected):
            counts.undecodable[event.reason] += 1
            rejected(raw)
        elif not some or wanted.has(event):
            found.append(event)
    return found
