"""Dead letters held against the table, and applied once more after their cause was mended.

A redriven event has the position that it always had, so it cannot overwrite what came after it, and twice changes
nothing. What fails again stays where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from jobstatus_consumer.core.dead_letters import Letter, letter_of
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.operations.dead_letters import settled
from jobstatus_consumer.operations.replay import Result, Sink
from jobstatus_consumer.records import Event, RawRecord, Rejected
from jobstatus_consumer.store import Table

SHOWN: Final = 10

State = Literal["open", "settled", "elsewhere"]
"""`settled`: its row is at or past it. `elsewhere`: it is of another topic, whose table is not this one."""


class Judged(NamedTuple):
    """A letter, what it holds by today's code, and what has become of it."""

    letter: Letter
    found: Event | Rejected
    state: State

    @property
    def is_settled(self) -> bool:
        """Whether its row is at or past it."""
        return self.state == "settled"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters; nothing given means all. `positions` are the original record's; `topic` is ours."""

    topic: str
    stages: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    positions: frozenset[tuple[int, int]] = frozenset()

    def has(self, letter: Letter) -> bool:
        """Whether the letter is wanted."""
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.jobs or letter.job_id in self.jobs)
            and (not self.positions or (letter.original.partition, letter.original.offset) in self.positions)
        )


@dataclass(slots=True)
class Group:
    """Letters of one cause."""

    stage: str
    reason: str
    where: str
    open: int = 0
    settled: int = 0
    elsewhere: int = 0
    first_seen: str = ""
    last_seen: str = ""

    def add(self, item: Judged) -> None:
        """Count one letter."""
        self.settled += item.state == "settled"
        self.open += item.state == "open"
        self.elsewhere += item.state == "elsewhere"
        seen = item.letter.first_seen
        self.first_seen = min(self.first_seen or seen, seen)
        self.last_seen = max(self.last_seen, seen)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.open + self.settled + self.elsewhere

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stage": self.stage,
            "reason": self.reason,
            "where": self.where,
            "count": self.count,
            "open": self.open,
            "settled": self.settled,
            "elsewhere": self.elsewhere,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
        }


@dataclass(slots=True)
class Overview:
    """Every letter that is there: by cause, how many twice, and how many records that are no letters of ours.

    `topics` counts the letters of topics other than ours.
    """

    groups: dict[tuple[str, str, str], Group] = field(default_factory=dict)
    topics: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    foreign: int = 0

    def add(self, item: Judged) -> None:
        """Count one letter."""
        cause = item.letter.cause
        self.groups.setdefault(cause, Group(*cause)).add(item)
        if item.state == "elsewhere":
            self.topics[item.letter.original.topic] += 1

    @property
    def open(self) -> int:
        """How many still wait for somebody."""
        return sum(group.open for group in self.groups.values())

    @property
    def settled(self) -> int:
        """How many nobody needs any more."""
        return sum(group.settled for group in self.groups.values())


@dataclass(slots=True)
class Redriven:
    """What a redrive did, or would try."""

    selected: int = 0
    settled: int = 0
    elsewhere: int = 0
    tried: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    result: Result = field(default_factory=Result)
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "selected": self.selected,
            "settled_before": self.settled,
            "elsewhere": self.elsewhere,
            "tried": self.tried,
            "applied": self.result.applied,
            "merged": self.result.merged,
            "stale": dict(self.result.stale),
            "failed_again": {**self.undecodable, **self.result.refused},
            "examples": self.examples,
        }

    @property
    def failed(self) -> int:
        """How many failed again."""
        return self.undecodable.total() + self.result.refused.total()


def letters(
    reader: RangeReader, stretches: Sequence[tuple[int, int, int]], overview: Overview, stop: Callable[[], bool]
) -> Iterator[list[Letter]]:
    """The letters of their topic in chunks, each record's first one only."""
    seen: set[tuple[str, int]] = set()
    nothing = dict.fromkeys(reader.partitions, "")
    for chunk in reader.read(stretches, nothing, stop):
        yield list(_fresh(chunk, seen, overview))


def _fresh(chunk: Sequence[RawRecord], seen: set[tuple[str, int]], overview: Overview) -> Iterator[Letter]:
    for raw in chunk:
        letter = letter_of(raw)
        if letter is None:
            overview.foreign += 1
        elif letter.identity in seen:
            overview.duplicates += 1
        else:
            seen.add(letter.identity)
            yield letter


def judge(chunk: Sequence[Letter], table: Table, decoder: Decoder, topic: str) -> list[Judged]:
    """Each letter of `topic` held against its job's row as it is now."""
    jobs = {job_id for letter in chunk if (job_id := letter.job_id) is not None and "\0" not in job_id}
    rows = table.states(jobs) if jobs else {}
    judged = []
    for letter in chunk:
        found = decoder.decode(letter.original)
        row = rows.get(letter.job_id) if letter.job_id is not None else None
        judged.append(Judged(letter, found, _state(letter, found, row, topic)))
    return judged


def _state(letter: Letter, found: Event | Rejected, row: RowState | None, topic: str) -> State:
    if letter.original.topic != topic:
        # another deployment shares the topic of the dead letters: the row of that name here is not this job's
        return "elsewhere"
    return "settled" if settled(letter, found, row) else "open"


def all_stretches(reader: RangeReader) -> list[tuple[int, int, int]]:
    """Everything that the topic holds now."""
    return [(number, bounds.low, bounds.high) for number, bounds in reader.bounds().items()]


def survey(
    reader: RangeReader,
    table: Table,
    selection: Selection,
    decoder: Decoder,
    stop: Callable[[], bool],
    each: Callable[[Judged], None] = lambda item: None,
    stretches: Sequence[tuple[int, int, int]] | None = None,
) -> Overview:
    """Every selected letter, counted by cause; `each` is told every one of them. Only of `stretches`, where given."""
    overview = Overview()
    for chunk in letters(reader, all_stretches(reader) if stretches is None else stretches, overview, stop):
        for item in judge([letter for letter in chunk if selection.has(letter)], table, decoder, selection.topic):
            overview.add(item)
            each(item)
    return overview


def redrive(
    reader: RangeReader,
    table: Table,
    selection: Selection,
    decoder: Decoder,
    stop: Callable[[], bool],
    sink: Sink | None,
) -> Redriven:
    """Apply the selected letters that are open; without a `sink` only say what would be tried."""
    done = Redriven()
    for chunk in letters(reader, all_stretches(reader), Overview(), stop):
        judged = judge([letter for letter in chunk if selection.has(letter)], table, decoder, selection.topic)
        done.selected += len(judged)
        done.settled += sum(item.state == "settled" for item in judged)
        done.elsewhere += sum(item.state == "elsewhere" for item in judged)
        _apply([item for item in judged if item.state == "open"], done, sink)
    return done


def _apply(items: Sequence[Judged], done: Redriven, sink: Sink | None) -> None:
    events = []
    for letter, found, _ in items:
        if len(done.examples) < SHOWN:
            done.examples.append(f"{letter.position} of {letter.job_id!r}: {letter.stage}, {letter.reason}")
        if isinstance(found, Rejected):
            done.undecodable[found.reason] += 1
        else:
            events.append(found)
    done.tried += len(events)
    if events and sink is not None:
        sink.write(sorted(events, key=lambda event: (event.log_id, event.offset)), done.result)
