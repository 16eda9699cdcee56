"""Dead letters compared with the table, and applied again once their cause is repaired.

A redriven event keeps its own position, so it cannot overwrite what came after it, and a second redrive changes
nothing. What fails again stays a dead letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from jobstatus_consumer.core import Decoder, Letter, RowState, letter_of
from jobstatus_consumer.errors import RegistryAwayError, SettingsError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.dead_letters import settled
from jobstatus_consumer.operations.replay import ReplayResult, Sink
from jobstatus_consumer.records import Event, RawRecord, Rejected
from jobstatus_consumer.store import Table

SHOWN: Final = 10
NO_REGISTRY: Final = "schema_registry_unavailable"
"""The reason why a letter is not applied now, while the schema of its event cannot be asked for."""
_PAIR: Final = re.compile(r"[0-9]{1,10}:[0-9]{1,19}")

State = Literal["open", "settled", "elsewhere"]
"""`settled`: its row is at or past it. `elsewhere`: it is of another topic, group or table, and not judged here."""

Restore = Callable[[Letter], Letter | None]
"""Returns a cut letter with its whole original, or None if there is none any more."""


class JudgedLetter(NamedTuple):
    """A letter, the event in it (or why there is none), and its state."""

    letter: Letter
    found: Event | Rejected
    state: State

    @property
    def is_settled(self) -> bool:
        """Whether its row is at or past it."""
        return self.state == "settled"


@dataclass(frozen=True, slots=True)
class LetterSelection:
    """Which letters; an empty set means all. `positions` are those of the originals.

    `topic`, `group` and `table` are those of the deployment that judges them; an empty text means any.
    """

    topic: str
    stages: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    positions: frozenset[tuple[int, int]] = frozenset()
    group: str = ""
    table: str = ""

    def has(self, letter: Letter) -> bool:
        """Whether the letter is selected."""
        return (
            (not self.stages or letter.stage in self.stages)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.jobs or letter.job_id in self.jobs)
            and (not self.positions or (letter.original.partition, letter.original.offset) in self.positions)
        )

    def is_own(self, letter: Letter) -> bool:
        """Whether the letter is of the deployment that judges it."""
        group, table = self.group or letter.group, self.table or letter.table
        return letter.original.topic == self.topic and letter.is_of(group, table)


def parse_positions(text: str) -> Iterator[tuple[int, int]]:
    """The partitions and offsets of `P:N[,P:N...]`; raises `SettingsError`."""
    for pair in text.replace(" ", "").split(","):
        if not _PAIR.fullmatch(pair):
            raise SettingsError(f"{pair!r} is not P:N, the partition and offset of the original, such as 0:17")
        partition, offset = pair.split(":")
        yield int(partition), int(offset)


@dataclass(slots=True)
class CauseGroup:
    """Letters of one cause and one consumer group."""

    stage: str
    reason: str
    where: str
    consumer_group: str = ""
    open: int = 0
    settled: int = 0
    elsewhere: int = 0
    first_seen: str = ""
    last_seen: str = ""

    def add(self, item: JudgedLetter) -> None:
        """Count one letter."""
        self.settled += item.state == "settled"
        self.open += item.state == "open"
        self.elsewhere += item.state == "elsewhere"
        seen = item.letter.first_seen
        self.first_seen = min(self.first_seen or seen, seen)
        self.last_seen = max(self.last_seen, seen)

    @property
    def count(self) -> int:
        """The number of letters."""
        return self.open + self.settled + self.elsewhere

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stage": self.stage,
            "reason": self.reason,
            "where": self.where,
            "consumer_group": self.consumer_group,
            "count": self.count,
            "open": self.open,
            "settled": self.settled,
            "elsewhere": self.elsewhere,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
        }


@dataclass(slots=True)
class LetterOverview:
    """Counts of letters by cause, of second copies, and of records that another program wrote.

    `topics` counts the letters from topics other than the selected one; `others` those of the selected topic that
    another group made, or that are for another table, by both.
    """

    groups: dict[tuple[str, str, str, str], CauseGroup] = field(default_factory=dict)
    topics: Counter[str] = field(default_factory=Counter)
    others: Counter[tuple[str, str]] = field(default_factory=Counter)
    duplicates: int = 0
    foreign: int = 0

    def add(self, item: JudgedLetter, selection: LetterSelection) -> None:
        """Count one letter. Those of another topic have no line of their own beside the ones of the same cause."""
        letter = item.letter
        of_topic = letter.original.topic == selection.topic
        cause = (*letter.cause, letter.group if of_topic else selection.group)
        self.groups.setdefault(cause, CauseGroup(*cause)).add(item)
        if not of_topic:
            self.topics[letter.original.topic] += 1
        elif item.state == "elsewhere":
            self.others[letter.group, letter.table] += 1

    @property
    def open(self) -> int:
        """The number of open letters."""
        return sum(group.open for group in self.groups.values())

    @property
    def settled(self) -> int:
        """The number of settled letters."""
        return sum(group.settled for group in self.groups.values())


@dataclass(slots=True)
class RedriveResult:
    """What a redrive did or, in a dry run, would try."""

    selected: int = 0
    settled: int = 0
    elsewhere: int = 0
    tried: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    result: ReplayResult = field(default_factory=ReplayResult)
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
        """The number of events that failed again."""
        return self.undecodable.total() + self.result.refused.total()


def letters(
    reader: RangeReader, ranges: Sequence[tuple[int, int, int]], overview: LetterOverview, stop: Callable[[], bool]
) -> Iterator[list[Letter]]:
    """The letters in chunks; of several that one group made of one record only the first."""
    seen: set[tuple[Any, ...]] = set()
    nothing = dict.fromkeys(reader.partitions, "")
    for chunk in reader.read(ranges, nothing, stop):
        yield list(_fresh(chunk, seen, overview))


def _fresh(chunk: Sequence[RawRecord], seen: set[tuple[Any, ...]], overview: LetterOverview) -> Iterator[Letter]:
    for raw in chunk:
        letter = letter_of(raw)
        if letter is None:
            overview.foreign += 1
            continue
        # two groups that read one topic may each reject the same record
        known = (*letter.identity, letter.group, letter.table)
        if known in seen:
            overview.duplicates += 1
        else:
            seen.add(known)
            yield letter


def nothing_to_restore(_letter: Letter) -> None:
    """A `Restore` that reads no log: a cut letter is judged as it is."""


def judge(
    chunk: Sequence[Letter],
    table: Table,
    decoder: Decoder,
    selection: LetterSelection,
    restore: Restore = nothing_to_restore,
) -> list[JudgedLetter]:
    """The state of each letter, by its job's row as it is now; those of another deployment are elsewhere."""
    jobs = {job_id for letter in chunk if (job_id := letter.job_id) is not None and "\0" not in job_id}
    rows = _states(table, jobs) if jobs else {}
    judged = []
    for letter in chunk:
        own = selection.is_own(letter)
        found = _decoded(letter, decoder, restore if own else nothing_to_restore)
        row = rows.get(letter.job_id) if letter.job_id is not None else None
        judged.append(JudgedLetter(letter, found, _state(letter, found, row, own=own)))
    return judged


def _states(table: Table, jobs: Collection[str]) -> Mapping[str, RowState]:
    """What the rule compares of these jobs: of their rows, or of what a purge has left."""
    purged = {job_id: job.state for job_id, job in table.purged(jobs).items()}
    return {**purged, **table.states(jobs)}


def _decoded(letter: Letter, decoder: Decoder, restore: Restore) -> Event | Rejected:
    """The event in a letter. A chunk of letters keeps no original that was read from the log."""
    whole = restore(letter) if letter.cut else None
    found = decoded_or_not(decoder, (whole or letter).original)
    return found if whole is None else found._replace(raw=letter.without_value().original)


def decoded_or_not(decoder: Decoder, original: RawRecord) -> Event | Rejected:
    """The original of a letter, decoded. While the schema registry gives no answer, it is rejected for that."""
    try:
        return decoder.decode(original)
    except RegistryAwayError as error:
        return Rejected(original, "decode", NO_REGISTRY, str(error), type(error).__name__)


def _state(letter: Letter, found: Event | Rejected, row: RowState | None, *, own: bool) -> State:
    if not own:
        # another deployment shares the dead letter topic: a row with this job id here is not what it wrote
        return "elsewhere"
    if isinstance(found, Rejected) and found.reason == NO_REGISTRY:
        # nobody knows yet whether its event matters
        return "open"
    return "settled" if settled(letter, found, row) else "open"


def all_ranges(reader: RangeReader) -> list[tuple[int, int, int]]:
    """The ranges of everything that the topic has now."""
    return [(number, watermarks.low, watermarks.high) for number, watermarks in reader.watermarks().items()]


def survey(
    reader: RangeReader,
    table: Table,
    selection: LetterSelection,
    decoder: Decoder,
    stop: Callable[[], bool],
    each: Callable[[JudgedLetter], None] = lambda item: None,
    ranges: Sequence[tuple[int, int, int]] | None = None,
) -> LetterOverview:
    """Count the selected letters by cause, in `ranges` or in the whole topic; `each` is called with every one."""
    overview = LetterOverview()
    for chunk in letters(reader, all_ranges(reader) if ranges is None else ranges, overview, stop):
        for item in judge([letter for letter in chunk if selection.has(letter)], table, decoder, selection):
            overview.add(item, selection)
            each(item)
    return overview


def redrive(
    reader: RangeReader,
    table: Table,
    selection: LetterSelection,
    decoder: Decoder,
    stop: Callable[[], bool],
    sink: Sink | None,
    restore: Restore = nothing_to_restore,
    each: Callable[[JudgedLetter], None] = lambda item: None,
) -> RedriveResult:
    """Apply the selected letters that are open; without a `sink`, only return what would be tried. May block.

    `restore` finds the originals of those that were cut. `each` is called with every open letter.
    """
    done = RedriveResult()
    for chunk in letters(reader, all_ranges(reader), LetterOverview(), stop):
        judged = judge([letter for letter in chunk if selection.has(letter)], table, decoder, selection, restore)
        done.selected += len(judged)
        done.settled += sum(item.state == "settled" for item in judged)
        done.elsewhere += sum(item.state == "elsewhere" for item in judged)
        still_open = [item for item in judged if item.state == "open"]
        for item in still_open:
            each(item)
        _apply(still_open, done, sink)
    return done


def _apply(items: Sequence[JudgedLetter], done: RedriveResult, sink: Sink | None) -> None:
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
