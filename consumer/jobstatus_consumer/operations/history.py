"""Every retained event of one job: which one the row shows, and why the others do not count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from jobstatus_consumer.core import Letter, RowState, advance, decide, letter_of
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.operations.times import shown
from jobstatus_consumer.records import Event, Rejected
from jobstatus_consumer.store import PurgedJob, Row, content_of

WHY: Final[Mapping[str, str]] = {
    "shown": "the row shows this one",
    "purged": "the row showed this one until it was purged",
    "superseded": "a later one was applied over it",
    "lower_attempt": "its attempt is lower than one before it",
    "late": "late out of a spool, and what came before it is newer",
    "other_log": "from another log than the row, and not newer",
    "redelivered": "the row was at or past it already",
    "dead_letter": "a dead letter that the row is past; whether it was redriven before is not known",
    "open_letter": "a dead letter: it is not written, and would change the row",
    "no_event": "it does not decode, or breaks the contract",
    "waiting": "not written (yet): it would change the row",
}
WHY_BY_ROW: Final[Mapping[str, str]] = {
    **WHY,
    "lower_attempt": "its attempt is lower than the row's",
    "late": "late out of a spool, and not newer than the row",
}
"""The same, where the row itself shows it and no retained event does."""

CHANGED_BY_HAND: Final = (
    "the row does not say what the event at its position says: it was changed by hand (jobstatus verify)"
)
SET_BACK: Final = "the row shows another event than the one at its position: it was set back by replay --undo"


class HistoryEntry(NamedTuple):
    """One record of the job; `event` is None if it is no event."""

    partition: int
    offset: int
    timestamp: int
    log_id: str
    event: Event | None
    outcome: str
    detail: str = ""
    by_row: bool = False
    """Whether the row's own state decided the outcome."""

    @property
    def why(self) -> str:
        """The outcome for a person."""
        return (WHY_BY_ROW if self.by_row else WHY)[self.outcome]


@dataclass(slots=True)
class History:
    """The retained records of a job in log order, and its row; `remarks` where they do not explain each other."""

    job_id: str
    items: Sequence[HistoryEntry] = ()
    row: Row | None = None
    purged_at: float | None = None
    """When the job was purged, in seconds since 1970-01-01 UTC; None if it has a row or was never purged."""
    remarks: list[str] = field(default_factory=list)


def records_of(reader: RangeReader, scope: Scope, job_id: str, stop: Callable[[], bool]) -> list[Event | Rejected]:
    """The job's records in the scope, in the order in which they were appended."""
    key = job_id.encode()
    found: list[Event | Rejected] = []
    for chunk in reader.read(scope.ranges, scope.log_ids, stop):
        found += [scope.decoder.decode(raw) for raw in chunk if raw.key == key]
    return in_order(found)


def in_order(records: Sequence[Event | Rejected]) -> list[Event | Rejected]:
    """Sort by the time of appending, and within a partition always by offset.

    A job usually has one partition, and two after partitions were added to the topic. Where the producers set the
    times, a record may have an earlier time than the record before it.
    """
    latest: dict[int, int] = {}
    keyed = []
    for item in sorted(records, key=lambda item: item.raw.offset):
        raw = item.raw
        latest[raw.partition] = max(raw.timestamp, latest.get(raw.partition, raw.timestamp))
        keyed.append(((latest[raw.partition], raw.partition, raw.offset), item))
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def letters_of(reader: RangeReader, job_id: str, stop: Callable[[], bool]) -> list[Letter]:
    """The dead letters that have the job's key."""
    ranges = [(number, watermarks.low, watermarks.high) for number, watermarks in reader.watermarks().items()]
    key = job_id.encode()
    found = []
    for chunk in reader.read(ranges, dict.fromkeys(reader.partitions, ""), stop):
        found += [letter for raw in chunk if raw.key == key and (letter := letter_of(raw)) is not None]
    return found


def explain(
    job_id: str,
    records: Sequence[Event | Rejected],
    row: Row | None,
    letters: Sequence[Letter],
    scope: Scope,
    purged: PurgedJob | None = None,
) -> History:
    """What became of each record, by the rule and the row as it is, or by what a purge has left of it."""
    dead = {letter.identity: letter for letter in letters}
    if purged is None:
        found = History(job_id, list(_items(records, row, dead)), row)
    else:
        items = _items(records, Row(*purged.state), dead)
        shown_before = [item._replace(outcome="purged") if item.outcome == "shown" else item for item in items]
        found = History(job_id, shown_before, None, purged.at)
    found.remarks = list(_remarks(found, scope))
    return found


def _items(
    records: Sequence[Event | Rejected], row: Row | None, dead: Mapping[tuple[str, int], Letter]
) -> Iterator[HistoryEntry]:
    judged = list(_judged(records, row, dead))
    outcomes = [outcome for outcome, _ in judged]
    counted = [number for number, outcome in enumerate(outcomes) if outcome in ("shown", "applied")]
    place = outcomes.index("shown") if "shown" in outcomes else -1
    for number, (record, (outcome, detail)) in enumerate(zip(records, judged, strict=True)):
        raw = record.raw
        event = record if isinstance(record, Event) else None
        by_row = False
        if event is not None and row is not None and outcome == "applied":
            passed = number < place or _is_before(event, row)
            outcome = "superseded"
            if not passed or number == counted[-1]:
                outcome, by_row = decide(row.state, event), True
        yield HistoryEntry(raw.partition, raw.offset, raw.timestamp, raw.log_id, event, outcome, detail, by_row)


def _judged(
    records: Sequence[Event | Rejected], row: Row | None, dead: Mapping[tuple[str, int], Letter]
) -> Iterator[tuple[str, str]]:
    """Outcome and detail of each record; `applied` if it counted among the retained ones."""
    state: RowState | None = None
    for record in records:
        letter = dead.get((record.raw.log_id, record.raw.offset))
        detail = "" if letter is None else f"{letter.stage}, {letter.reason}{', ' * bool(letter.where)}{letter.where}"
        if isinstance(record, Rejected):
            yield "no_event", detail or f"{record.stage}, {record.reason}"
            continue
        outcome = _outcome(record, state, row, letter)
        if outcome not in ("dead_letter", "open_letter"):
            state = advance(state, record)
        yield outcome, detail


def _outcome(event: Event, state: RowState | None, row: Row | None, letter: Letter | None) -> str:
    if row is not None and (row.log_id, row.log_offset) == (event.log_id, event.offset):
        return "shown"
    changes = row is None or decide(row.state, event) == "applied"
    if letter is not None:
        return "open_letter" if changes else "dead_letter"
    return "waiting" if changes else decide(state, event)


def _is_before(event: Event, row: Row) -> bool:
    """Whether the row is past the event in the same log."""
    return row.log_id == event.log_id and row.log_offset is not None and event.offset < row.log_offset


def _shows_another(found: History, row: Row) -> bool:
    return any(item.event is not None and row.content == content_of(item.event.content) for item in found.items)


def _remarks(found: History, scope: Scope) -> Iterator[str]:
    row = found.row
    if found.purged_at is not None:
        at = shown(datetime.fromtimestamp(found.purged_at, UTC))
        yield f"the job was purged at {at} by jobstatus purge; only an event that is newer brings it back"
        return
    if row is None:
        yield "there is no row: the job was purged, or its events are not written yet"
        return
    of_row = next((item.event.content for item in found.items if item.event and item.outcome == "shown"), None)
    if of_row is not None:
        if row.content != content_of(of_row):
            yield SET_BACK if _shows_another(found, row) else CHANGED_BY_HAND
        return
    if row.log_id is None or row.log_offset is None:
        yield "the row has no position: somebody else wrote it"
    elif row.log_id not in scope.log_ids.values():
        yield f"the row came from another log: {row.log_id}, offset {row.log_offset}"
    else:
        yield f"the event that the row shows ({row.log_id}, offset {row.log_offset}) is not retained, or never was"
