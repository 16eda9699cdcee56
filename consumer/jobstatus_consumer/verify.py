"""Does the table say what the log says? Every event of a stretch is held against its job's row.

Missing: there is no row. Behind: an event would change the row. Different: the event at the row's position says
something else than the row. Out of turn: an event before the row's own would have counted, but was not there when the
row was written; it was a dead letter, which is no fault, or a consumer wrote into a table that had lost rows.
The stretch's end is fixed before any row is read, and everything before it was written by then; so a row that has
moved on meanwhile is judged by its position, and a live consumer causes no false alarm.
A job may have events in two logs, of two partitions after their number was raised: in what order those were written
nobody can read again. So what would be a fault of a row with one log is judged when all events were seen.
A record that is no event for us may have been one for the consumer that wrote the row: what it brought is no fault.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, get_args
from zlib import crc32

from jobstatus_schemas.limits import MAX_OCCURRED_AT

from jobstatus_consumer.kafka.reader import AT_ONCE, Reader
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_consumer.replay.scope import Counts, Scope, alongside, events
from jobstatus_consumer.rule import RowState, advance, decide
from jobstatus_consumer.store import Row, Table

Kind = Literal["missing", "behind", "different", "out_of_turn"]
CACHED_ROWS: Final = 1_000_000
"""Rows in memory at once, about 400 bytes each; with more jobs some rows are read more than once."""
OUT_OF_TURN: Final = "written without an event before theirs that would have counted; --strict names them"
OTHER: Final = 0xFFFFFFFF
"""Marks the key of a record that is no event."""
ASIDE: Final = 100_000
"""Suspicions in memory at once that only the end of the log can confirm; with more of them none is judged."""
TOO_MANY: Final = (
    "not judged any further: whether their attempt or time is from another partition would fill the memory"
)
NOT_TAKEN: Final = "at a record that this version, or these --statuses, do not take"
CONTENT: Final = ("status", "error_message", "worker_id", "occurred_at", "event_id")


class Finding(NamedTuple):
    """One row that is not what the log says. `misplaced`: its position is none of its job's events."""

    kind: Kind
    event: str
    log_id: str | None
    log_offset: int | None
    columns: tuple[str, ...] = ()
    misplaced: bool = False
    values: Mapping[str, tuple[Any, Any]] | None = None
    """by column: what the row says, what the log says; only if asked for"""

    @property
    def whole(self) -> bool:
        """Whether the row is to be what all of its job's events make of it, not what the one at its position says."""
        return self.misplaced or self.kind == "out_of_turn"


@dataclass(slots=True)
class Report:
    """What was found, and what was explained. `exact`: nothing that could excuse an attempt or a time is missing."""

    counts: Counts = field(default_factory=Counts)
    findings: dict[str, Finding] = field(default_factory=dict)
    out_of_turn: dict[str, Finding] = field(default_factory=dict)
    """findings only for those who ask: a table with dead letters has such rows rightly"""
    explained: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    exact: bool = False
    complete: bool = False
    seconds: float = 0.0

    def kinds(self) -> dict[str, int]:
        """How many of each kind."""
        found = dict.fromkeys(get_args(Kind), 0)
        for item in self.findings.values():
            found[item.kind] += 1
        return found


class _Known:
    """A row as it was read, and the highest attempt and time that its job's events had so far.

    Those events are of the row's own log; `several`: the job has some in another one, too.
    `made`: what the rule makes of the job's events, where that is followed.
    """

    __slots__ = (
        "attempt", "bound", "digest", "latest", "log_id", "log_offset", "made", "several", "top_attempt", "top_time",
    )  # fmt: skip

    def __init__(self, row: Row, logs: Mapping[str | None, str]) -> None:
        self.attempt, self.latest, log_id, self.log_offset = row.state
        # one text for all rows of a log
        self.log_id = logs.get(log_id, log_id)
        self.digest = hash(row[4:])
        # where a row has no time, there is nothing to be said of it
        self.bound = MAX_OCCURRED_AT if self.latest is None else self.latest
        self.top_attempt = -1
        self.top_time = 0
        self.made: RowState | None = None
        self.several = False

    @property
    def state(self) -> RowState:
        return RowState(self.attempt, self.latest, self.log_id, self.log_offset)

    def was_without(self, event: Event) -> bool:
        """Whether the row, which stands behind `event`, would be another one if that event had come before it."""
        attempt, own = event.attempt, self.attempt
        if attempt is not None and (own is None or attempt > own):
            return True
        return event.time > self.bound and (attempt is None or attempt == own)

    def wrong(self, event: Event) -> list[str]:
        """Of attempt and latest_occurred_at those that cannot be so with the event at the row's position."""
        wrong = []
        if event.attempt is not None and self.attempt != event.attempt:
            wrong.append("attempt")
        if self.latest is None or not event.time <= self.latest < MAX_OCCURRED_AT:
            wrong.append("latest_occurred_at")
        return wrong

    def too_high(self, event: Event) -> list[str]:
        """Of attempt and latest_occurred_at those that no event of the row's own log has brought, up to `event`."""
        high = []
        if event.attempt is None and self.attempt is not None and self.attempt > self.top_attempt:
            high.append("attempt")
        if self.latest is not None and self.latest > self.top_time:
            high.append("latest_occurred_at")
        return high


class Verifier:
    """Holds events against rows in bounded memory: rows are read as they are needed and kept while there is room."""

    def __init__(
        self, table: Table, scope: Scope, *, exact: bool, ignore_missing: bool, show_values: bool, strict: bool = False
    ) -> None:
        self._table = table
        self._scope = scope
        self._ignore_missing = ignore_missing
        self._show_values = show_values
        self._strict = strict
        self._logs: dict[str | None, str] = {log.id: log.id for log in scope.logs.values()}
        self._numbers = {log.id: number for number, log in scope.logs.items()}
        self._cache: dict[str, _Known | None] = {}
        # four bytes for each offset: whose event it is
        self._owners = {n: array("I", bytes(4 * max(0, end - start))) for n, start, end in scope.stretches}
        self._starts = {item.partition: item.start for item in scope.stretches}
        # four bytes of the keys of records that were rejected
        self._rejected_keys: set[int] = set()
        self._aside: dict[Kind, list[tuple[Event, _Known]]] = {"different": [], "out_of_turn": []}
        self.report = Report(exact=exact)

    def take(self, chunk: Sequence[Event]) -> None:
        """Judge some events, in log order."""
        if len(self._cache) > CACHED_ROWS:
            self._cache.clear()
            self._give_up_exactness()
        cache, starts, strict = self._cache, self._starts, self._strict
        # one by one: a difference to the cache's keys walks through all of them
        self._read_rows({event.job_id for event in chunk if event.job_id not in cache})
        suspects = []
        for event in chunk:
            job_id, _, _, attempt, _, _, _, made_at, _, log_id, offset, raw = event
            number = raw.partition
            # the key is the job's id, as decoding has made sure of
            self._owners[number][offset - starts[number]] = crc32(raw.key or b"")
            known = cache[job_id]
            if known is None:
                self._missing(event)
                continue
            if strict:
                self._follow(event, known)
            if known.log_id == log_id and known.log_offset is not None and offset <= known.log_offset:
                if made_at > known.top_time:
                    known.top_time = made_at
                if attempt is not None and attempt > known.top_attempt:
                    known.top_attempt = attempt
                if offset == known.log_offset:
                    if known.digest != hash(_content(event)) or known.wrong(event):
                        suspects.append((event, known))
                    if known.too_high(event):
                        self._put_aside("different", event, known)
                elif (attempt != known.attempt or made_at > known.bound) and known.was_without(event):
                    self._out_of_turn(event, known)
                continue
            if known.log_id != log_id:
                known.several = True
            if decide(known.state, event) == "applied":
                self._add(job_id, Finding("behind", _position(event), known.log_id, known.log_offset))
        if suspects:
            self._name_columns(suspects, _Known.wrong)

    def reject(self, raw: RawRecord) -> None:
        """Note a record that is no event: a row may stand there, or have its attempt or time from it.

        It may come from another thread than `take`.
        """
        key = crc32(raw.key or b"")
        self._owners[raw.partition][raw.offset - self._starts[raw.partition]] = key ^ OTHER
        if len(self._rejected_keys) <= CACHED_ROWS:
            self._rejected_keys.add(key)

    def _read_rows(self, jobs: Iterable[str]) -> None:
        wanted = list(jobs)
        if not wanted:
            return
        found = self._table.rows(wanted)
        for job_id in wanted:
            row = found.get(job_id)
            self._cache[job_id] = None if row is None else _Known(row, self._logs)

    def _follow(self, event: Event, known: _Known) -> None:
        """Make the row anew from its job's events, and compare at the event that it shows."""
        known.made = advance(known.made, event)
        if (event.log_id, event.offset) == (known.log_id, known.log_offset) and known.made != known.state:
            self._put_aside("out_of_turn", event, known)

    def _put_aside(self, kind: Kind, event: Event, known: _Known) -> None:
        """Keep a suspicion that holds if all that happened to the row is in its own log, once that is known."""
        if not self.report.exact or known.several:
            return
        found = self._aside[kind]
        found.append((event._replace(raw=event.raw._replace(value=None, headers=())), known))
        if len(found) > ASIDE:
            self.report.explained[TOO_MANY] = len(found)
            self._give_up_exactness()

    def _give_up_exactness(self) -> None:
        self.report.exact = False
        for found in self._aside.values():
            found.clear()

    def _out_of_turn(self, event: Event, known: _Known) -> None:
        finding = Finding("out_of_turn", _position(event), known.log_id, known.log_offset)
        self.report.out_of_turn.setdefault(event.job_id, finding)

    def _missing(self, event: Event) -> None:
        if not self._ignore_missing and event.job_id not in self.report.findings:
            self._add(event.job_id, Finding("missing", _position(event), None, None))

    def _add(self, job_id: str, finding: Finding) -> None:
        before = self.report.findings.get(job_id)
        if before is None or finding.kind == "different":
            self.report.findings[job_id] = finding

    def _name_columns(
        self, suspects: Sequence[tuple[Event, _Known]], wrong: Callable[[_Known, Event], Iterable[str]]
    ) -> None:
        rows = self._table.rows({event.job_id for event, _ in suspects})
        for event, known in suspects:
            row = rows.get(event.job_id)
            if row is None or (row.log_id, row.log_offset) != (event.log_id, event.offset):
                continue  # it has moved on since
            said = zip(CONTENT, row[4:], _content(event), strict=True)
            differing = {name: (theirs, ours) for name, theirs, ours in said if theirs != ours}
            for name in wrong(known, event):
                values = {"attempt": (row.attempt, event.attempt), "latest_occurred_at": (row.latest, event.time)}
                differing[name] = values[name]
            if differing:
                values_ = differing if self._show_values else None
                finding = Finding("different", _position(event), row.log_id, row.log_offset, tuple(differing),
                                  values=values_)  # fmt: skip
                self._add(event.job_id, finding)

    def take_positions(self, positions: Iterable[tuple[str, str, int]], ends: Mapping[int, int]) -> None:
        """Judge where rows say that they came from; `ends` is what the log has now."""
        explained = self.report.explained
        for job_id, log_id, offset in positions:
            number = self._numbers[log_id]
            start = self._starts.get(number)
            place = None if start is None else offset - start
            if place is None or start is None:
                word = "of a partition that was not read"
            elif place < 0:
                word = "at an event before the stretch, or removed by retention"
            elif place < len(self._owners[number]):
                owner, key = self._owners[number][place], crc32(job_id.encode())
                if owner == key:
                    continue
                if owner != key ^ OTHER:
                    self._misplaced(job_id, log_id, offset)
                    continue
                word = NOT_TAKEN
            elif offset >= ends[number]:
                self._misplaced(job_id, log_id, offset)
                continue
            else:
                word = "at an event after the stretch"
            explained[word] = explained.get(word, 0) + 1

    def conclude(self) -> None:
        """All events were seen. Rows out of turn are findings, or explained."""
        report = self.report
        for event, known in self._alone("out_of_turn"):
            self._out_of_turn(event, known)
        different = self._alone("different")
        for start in range(0, len(different), AT_ONCE):
            self._name_columns(different[start : start + AT_ONCE], lambda row, at: [*row.wrong(at), *row.too_high(at)])
        if self._strict:
            report.findings |= report.out_of_turn
        elif report.out_of_turn:
            report.explained[OUT_OF_TURN] = len(report.out_of_turn)

    def _alone(self, kind: Kind) -> list[tuple[Event, _Known]]:
        """The suspicions that were put aside, of rows that turned out to have a single log, all of it events."""
        keys = self._rejected_keys
        if len(keys) > CACHED_ROWS:
            return []
        return [item for item in self._aside[kind] if not item[1].several and crc32(item[0].raw.key or b"") not in keys]

    def _misplaced(self, job_id: str, log_id: str, offset: int) -> None:
        at = f"{self._numbers[log_id]}:{offset}"
        self.report.findings[job_id] = Finding("different", at, log_id, offset, ("log_offset",), misplaced=True)


def verify(
    reader: Reader,
    scope: Scope,
    table: Table,
    verifier: Verifier,
    stop: Callable[[], bool],
    observe: Callable[[int], None] = lambda records: None,
) -> Report:
    """Hold the scope against the table: first every event against its row, then every row against its position."""
    report = verifier.report
    started = time.monotonic()
    # while the database is asked for a chunk's rows, the next chunk is read and decoded
    chunks = events(reader, scope, report.counts, stop, rejected=verifier.reject)
    for _ in alongside(chunks, verifier.take):
        observe(report.counts.records)
    if stop():
        return report
    if scope.wanted.jobs:
        verifier.take_positions(_of_jobs(table, scope), _ends(reader))
    else:
        _explain(table, scope, report)
        verifier.take_positions(_until(table.positions(scope.log_ids.values()), stop), _Ends(reader))
    verifier.conclude()
    report.complete = not stop()
    report.seconds = time.monotonic() - started
    return report


class _Ends(dict[int, int]):
    """The ends of the log, asked when the first row beyond the stretch is met: by then it must be there."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def __missing__(self, number: int) -> int:
        self.update(_ends(self._reader))
        return self[number]


def _ends(reader: Reader) -> dict[int, int]:
    return {number: bounds.high for number, bounds in reader.bounds().items()}


def _until(rows: Iterator[tuple[str, str, int]], stop: Callable[[], bool]) -> Iterator[tuple[str, str, int]]:
    for row in rows:
        if stop():
            return
        yield row


def _of_jobs(table: Table, scope: Scope) -> list[tuple[str, str, int]]:
    current = set(scope.log_ids.values())
    return [
        (job_id, row.log_id, row.log_offset)
        for job_id, row in table.rows(scope.wanted.jobs).items()
        if row.log_id in current and row.log_id is not None and row.log_offset is not None
    ]


def _explain(table: Table, scope: Scope, report: Report) -> None:
    current = set(scope.log_ids.values())
    named = Counter(item.log_id for item in report.findings.values() if item.kind == "behind")
    for log_id, rows in table.by_log().items():
        report.rows += rows
        count = rows - named[log_id]
        if log_id is None:
            word = "written by somebody else (no position)"
        elif log_id not in current:
            word = f"from a log that is gone or not this topic's: {log_id}"
        else:
            continue
        if count > 0:
            report.explained[word] = report.explained.get(word, 0) + count


def is_exact(scope: Scope, known: Iterable[str]) -> bool:
    """Whether all that ever happened to these rows is in the scope: nothing removed, and no other log ever taken."""
    whole = len(scope.stretches) == len(scope.logs) and all(item.start == 0 for item in scope.stretches)
    return whole and set(known) <= set(scope.log_ids.values())


def _content(event: Event) -> tuple[Any, ...]:
    return event.status, event.error_message, event.worker_id, event.occurred_at, event.event_id.lower()


def _position(event: Event) -> str:
    return f"{event.raw.partition}:{event.offset}"
