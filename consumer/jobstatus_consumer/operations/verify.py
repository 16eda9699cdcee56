"""Does the table say what the log says? Every event of a stretch is held against its job's row.

Missing: there is no row. Behind: an event would change the row. Different: the event at the row's position says
something else than the row. Out of turn: an event before the row's own would have counted, but was not there when the
row was written; it was a dead letter, which is no fault, or a consumer wrote into a table that had lost rows.
The stretch's end is fixed before any row is read, and everything before it was written by then; so a row that has
moved on meanwhile is judged by its position, and a live consumer causes no false alarm.
A job may have events in two logs, of two partitions after their number was raised: in what order those were written
nobody can read again. So what would be a fault of a row with one log is judged when all events were seen.
A record that is no event for us may have been one for the consumer that wrote the row: what it brought is no fault.
Where not all that happened is there (retention, an older log), an attempt or a time that no event has is explained.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final
from zlib import crc32

from jobstatus_schemas.event import MAX_OCCURRED_AT

from jobstatus_consumer.core.rule import advance, decide
from jobstatus_consumer.kafka.range_reader import AT_ONCE, RangeReader
from jobstatus_consumer.operations.findings import SLACK, Finding, Kind, Report, TrackedRow
from jobstatus_consumer.operations.scope import Scope, alongside, events
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_consumer.store import CONTENT, Row, Table, content_of

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
UNEXPLAINED: Final = (
    "with an attempt or a time that no event read has: that event may be removed, of another log, or not taken"
)
FORGOTTEN: Final = (
    "not held against all of their events together, since there are too many jobs: an attempt or a time that is too "
    "high is not named then (--job-id looks at single jobs)"
)
NOT_TAKEN: Final = "at a record that this version, or these --statuses, do not take"
MISPLACED: Final = (("log_offset",), ("log_offset", "latest_occurred_at"))

Aside = list[tuple[Event, TrackedRow]]


TOLD: Final = TrackedRow(Row(), {})
"""Stands for the row of a job that is known to have none, once that was told."""


class Verifier:
    """Holds events against rows in bounded memory: rows are read as they are needed and kept while there is room."""

    def __init__(
        self,
        table: Table,
        scope: Scope,
        *,
        exact: bool,
        ignore_missing: bool,
        show_values: bool,
        strict: bool = False,
        limit: int = MAX_OCCURRED_AT,
    ) -> None:
        # no event has this time, or a later one
        self.limit = limit
        self._table = table
        self._scope = scope
        self._ignore_missing = ignore_missing
        self._show_values = show_values
        self._strict = strict
        self._logs: dict[str | None, str] = {log.id: log.id for log in scope.logs.values()}
        self._numbers = {log.id: number for number, log in scope.logs.items()}
        self._cache: dict[str, TrackedRow | None] = {}
        # four bytes for each offset: whose event it is
        self._owners = {n: array("I", bytes(4 * max(0, end - start))) for n, start, end in scope.stretches}
        self._starts = {item.partition: item.start for item in scope.stretches}
        # four bytes of the keys of records that were rejected
        self._rejected_keys: set[int] = set()
        self._aside: dict[Kind, Aside] = {"different": [], "out_of_turn": []}
        self._full = False
        self.report = Report(exact=exact)

    def take(self, chunk: Sequence[Event]) -> None:
        """Judge some events, in log order."""
        if len(self._cache) > CACHED_ROWS:
            self._forget_rows()
        cache, starts, strict = self._cache, self._starts, self._strict
        # one by one: a difference to the cache's keys walks through all of them
        self._read_rows({event.job_id for event in chunk if event.job_id not in cache})
        suspects = []
        for event in chunk:
            content, made_at, log_id, offset, raw = event.content, event.time, event.log_id, event.offset, event.raw
            job_id, attempt, number = content.job_id, content.attempt, raw.partition
            # the key is the job's id, as decoding has made sure of
            self._owners[number][offset - starts[number]] = crc32(raw.key or b"")
            known = cache[job_id]
            if known is None or known is TOLD:
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
                    if known.digest != hash(content_of(event.content)) or known.wrong(event, self.limit):
                        suspects.append((event, known))
                    if known.too_high(event):
                        self._put_aside("different", event, known)
                elif (attempt != known.attempt or made_at > known.bound) and known.was_without(event):
                    self._out_of_turn(event, known)
                continue
            if known.log_id != log_id:
                known.has_other(event)
            if decide(known.state, event) == "applied":
                self.report.add(job_id, Finding("behind", _position(event), known.log_id, known.log_offset), known)
            elif known.event_id == event.content.event_id.lower() and known.digest != hash(content_of(event.content)):
                # the same event in another log says the same
                suspects.append((event, known))
        if suspects:
            self._name_columns(suspects, lambda row, at: row.wrong(at, self.limit))

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
            self._cache[job_id] = None if row is None else TrackedRow(row, self._logs)

    def _follow(self, event: Event, known: TrackedRow) -> None:
        """Make the row anew from its job's events, and compare at the event that it shows."""
        known.made = advance(known.made, event)
        if (event.log_id, event.offset) == (known.log_id, known.log_offset) and known.made != known.state:
            self._put_aside("out_of_turn", event, known)

    def _put_aside(self, kind: Kind, event: Event, known: TrackedRow) -> None:
        """Keep a suspicion about a row that only the end of the log can confirm."""
        if self._full or (kind == "out_of_turn" and not self.report.exact):
            return
        found = self._aside[kind]
        found.append((event._replace(raw=event.raw._replace(value=None, headers=())), known))
        if len(found) > ASIDE:
            self.report.explained[TOO_MANY] = len(found)
            self.report.exact = False
            self._full = True
            for items in self._aside.values():
                items.clear()

    def _forget_rows(self) -> None:
        """Read the rows anew from here on; what their jobs' events had so far is forgotten with them."""
        self.report.explained[FORGOTTEN] += len(self._cache)
        self.report.exact = False
        self._cache.clear()
        self._aside["out_of_turn"].clear()

    def _out_of_turn(self, event: Event, known: TrackedRow) -> None:
        finding = Finding("out_of_turn", _position(event), known.log_id, known.log_offset)
        self.report.add_out_of_turn(event.job_id, finding, known)

    def _missing(self, event: Event) -> None:
        self._cache[event.job_id] = TOLD
        if not self._ignore_missing:
            self.report.add(event.job_id, Finding("missing", _position(event), None, None))

    def _name_columns(
        self, suspects: Sequence[tuple[Event, TrackedRow]], wrong: Callable[[TrackedRow, Event], Iterable[str]]
    ) -> None:
        rows = self._table.rows({event.job_id for event, _ in suspects})
        for event, known in suspects:
            row = rows.get(event.job_id)
            if row is None or (row.log_id, row.log_offset) != (known.log_id, known.log_offset):
                continue  # it has moved on since
            said = zip(CONTENT, row.content, content_of(event.content), strict=True)
            differing = {name: (theirs, ours) for name, theirs, ours in said if theirs != ours}
            elsewhere = row.log_id != event.log_id
            for name in () if elsewhere else wrong(known, event):
                values = {"attempt": (row.attempt, event.attempt), "latest_occurred_at": (row.latest, event.time)}
                differing[name] = values[name]
            if differing:
                finding = Finding(
                    "different",
                    _position(event),
                    row.log_id,
                    row.log_offset,
                    tuple(differing),
                    misplaced=elsewhere,
                    values=differing if self._show_values else None,
                )
                self.report.add(event.job_id, finding, known)

    def take_positions(self, positions: Iterable[tuple[str, str, int, bool]], ends: Mapping[int, int]) -> None:
        """Judge where rows say that they came from, and whether their time is beyond `limit`.

        `ends` is what the log has now.
        """
        explained = self.report.explained
        for job_id, log_id, offset, beyond in positions:
            number = self._numbers[log_id]
            start = self._starts.get(number)
            place = None if start is None else offset - start
            if place is None or start is None:
                word = "of a partition that was not read"
            elif place < 0 and beyond:
                self._misplaced(job_id, log_id, offset, "latest_occurred_at")
                continue
            elif place < 0:
                word = "at an event before the stretch, or removed by retention"
            elif place < len(self._owners[number]):
                owner, key = self._owners[number][place], crc32(job_id.encode())
                if owner == key:
                    continue
                if owner != key ^ OTHER:
                    self._misplaced(job_id, log_id, offset, *MISPLACED[beyond])
                    continue
                word = NOT_TAKEN
            elif offset >= ends[number]:
                self._misplaced(job_id, log_id, offset, *MISPLACED[beyond])
                continue
            else:
                word = "at an event after the stretch"
            explained[word] += 1

    def conclude(self) -> None:
        """All events were seen. Rows out of turn are findings, or explained."""
        report = self.report
        alone, _ = self._set_apart("out_of_turn")
        for event, known in alone:
            self._out_of_turn(event, known)
        different, unsure = self._set_apart("different")
        for start in range(0, len(different), AT_ONCE):
            self._name_columns(
                different[start : start + AT_ONCE], lambda row, at: [*row.wrong(at, self.limit), *row.too_high(at)]
            )
        unexplained = {event.job_id for event, known in unsure if known.is_unexplained()}
        if unexplained:
            report.explained[UNEXPLAINED] = len(unexplained - report.findings.keys())
        if self._strict:
            for job_id, finding in report.out_of_turn.items():
                report.add(job_id, finding)
            report.more["out_of_turn"] += report.more_out_of_turn
        else:
            report.explained[OUT_OF_TURN] = len(report.out_of_turn) + report.more_out_of_turn
        report.explained = +report.explained

    def _set_apart(self, kind: Kind) -> tuple[Aside, Aside]:
        """What was put aside: of rows with a single log that is whole, all of it events; and of others."""
        keys, exact = self._rejected_keys, self.report.exact and len(self._rejected_keys) <= CACHED_ROWS
        alone: Aside = []
        others: Aside = []
        for event, known in self._aside[kind]:
            sure = exact and not known.several and crc32(event.raw.key or b"") not in keys
            (alone if sure else others).append((event, known))
        return alone, others

    def _misplaced(self, job_id: str, log_id: str, offset: int, *columns: str) -> None:
        at = f"{self._numbers[log_id]}:{offset}"
        finding = Finding("different", at, log_id, offset, columns, misplaced="log_offset" in columns)
        known = self._cache.get(job_id)
        self.report.add(job_id, finding, None if known is TOLD else known)


def verify(
    reader: RangeReader,
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
        verifier.take_positions(_of_jobs(table, scope, verifier.limit), _ends(reader))
    else:
        _explain(table, scope, report)
        verifier.take_positions(_until(table.positions(scope.log_ids.values(), verifier.limit), stop), _Ends(reader))
    verifier.conclude()
    report.complete = not stop()
    report.seconds = time.monotonic() - started
    return report


class _Ends(dict[int, int]):
    """The ends of the log, asked when the first row beyond the stretch is met: by then it must be there."""

    def __init__(self, reader: RangeReader) -> None:
        super().__init__()
        self._reader = reader

    def __missing__(self, number: int) -> int:
        self.update(_ends(self._reader))
        return self[number]


def _ends(reader: RangeReader) -> dict[int, int]:
    return {number: bounds.high for number, bounds in reader.bounds().items()}


def _until(
    rows: Iterator[tuple[str, str, int, bool]], stop: Callable[[], bool]
) -> Iterator[tuple[str, str, int, bool]]:
    for row in rows:
        if stop():
            return
        yield row


def _of_jobs(table: Table, scope: Scope, limit: int) -> list[tuple[str, str, int, bool]]:
    current = set(scope.log_ids.values())
    return [
        (job_id, row.log_id, row.log_offset, (row.latest or 0) >= limit)
        for job_id, row in table.rows(scope.wanted.jobs).items()
        if row.log_id in current and row.log_id is not None and row.log_offset is not None
    ]


def _explain(table: Table, scope: Scope, report: Report) -> None:
    current = set(scope.log_ids.values())
    named = Counter(item.log_id for item in report.findings.values() if item.kind != "missing")
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
            report.explained[word] += count


def time_limit(append_time: bool, now: float) -> int:
    """A time that no event can have; where the broker stamps the records that is one not yet come."""
    return int(now * 1e6) + SLACK if append_time else MAX_OCCURRED_AT


def is_exact(scope: Scope, known: Iterable[str]) -> bool:
    """Whether all that ever happened to these rows is in the scope: nothing removed, and no other log ever taken."""
    whole = len(scope.stretches) == len(scope.logs) and all(item.start == 0 for item in scope.stretches)
    return whole and set(known) <= set(scope.log_ids.values())


def _position(event: Event) -> str:
    return f"{event.raw.partition}:{event.offset}"
