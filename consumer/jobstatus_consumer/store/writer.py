"""Writes batches under the guard: one statement for a batch, in the ordinary case."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jobstatus_consumer.core.fold import Statement, fold
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.errors import BadRowError, DatabaseAwayError, DeploymentError
from jobstatus_consumer.records import Batch, Event, LogRange, TopicProgress, Written
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.connection import DEFAULT_LIMITS, Limits, open_connection
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session
from jobstatus_consumer.store.write_counts import WriteCounts


class Store(Session):
    """A session that writes batches into one managed table. The consumer's writer thread owns one.

    After an error that cost the connection, connect again; the same batch may then be written again.
    """

    def __init__(
        self,
        url: str,
        table: str,
        *,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        opener: Opener = open_connection,
    ) -> None:
        super().__init__(url, limits, clock=clock, opener=opener)
        # the logs whose progress this session has seen
        self._seen: set[str] = set()
        self._name = TableName.parse(table)
        self._compose(self._name)

    def _compose(self, place: TableName) -> None:
        """Compose the statements for the table at this place: once for each connection, not for every batch."""
        self._write = block("write.sql", "write", place).as_bytes()
        self._states = block("table.sql", "states", place).as_bytes()
        self._progress = block("write.sql", "progress", place).as_bytes()
        self._topic_progress = block("write.sql", "topic_progress", place).as_bytes()

    def prepare(self) -> None:
        """Find the table on a new connection: it may be another server."""
        self._compose(self.located(self._name))

    def connect(self) -> None:
        """Open a new session; an open one is closed first. May block for `Limits.connect`.

        The database behind it may be another one, or may have forgotten: compare `progress` before writing anything.
        """
        self._seen.clear()
        super().connect()

    def progress(self, log_ids: Iterable[str]) -> dict[str, int]:
        """By log, for those of `log_ids` that the database has: the next offset that it needs."""
        found = _pairs(self.execute(self._progress, {"logs": json_params.texts(log_ids)}))
        self._seen.update(found)
        return found

    def topic_progress(self, topic: str) -> TopicProgress:
        """What the database has of every log of a topic of this name."""
        rows = self.execute(self._topic_progress, {"prefix": f"{topic}/"})
        offsets = {log_id: offset for log_id, offset, _ in rows}
        self._seen.update(offsets)
        return TopicProgress(offsets, {log_id: epoch for log_id, _, epoch in rows if epoch is not None})

    def write(self, batch: Batch) -> Written:
        """Write a batch, in one statement unless a job's events cannot merge or a row is bad.

        1. Fold the events. 2. Write the statements in order; the last one carries the progress of the logs.
        3. If a statement is refused because of a row, halve it until that row is alone; the other rows are written.
        A row is rejected only if everything else was written. Any other error is raised, and the caller gives the
        whole batch again. May block for `Limits.statement` in each statement.
        """
        started = self._clock()
        counts = WriteCounts()
        *before, last = fold(batch.events) or [Statement((), {})]
        for statement in before:
            self._apply(statement, (), counts)
        self._apply(last, batch.ranges, counts)
        return counts.written(self._clock() - started)

    def _apply(self, statement: Statement, ranges: Sequence[LogRange], counts: WriteCounts) -> None:
        """Write one statement; if a row of it is bad, write its halves."""
        try:
            self._send(statement, ranges, counts)
        except BadRowError as error:
            if not statement.events:
                # a statement without rows cannot be refused because of a row
                raise DeploymentError(
                    str(error), sqlstate=error.sqlstate, error_class=error.error_class, where=error.where
                ) from error
            for part in self._parts(statement, error, counts):
                self._apply(part, (), counts)
            if ranges:
                self._apply(Statement((), {}), ranges, counts)

    @staticmethod
    def _parts(statement: Statement, error: BadRowError, counts: WriteCounts) -> list[Statement]:
        """The halves; or, if the bad row is alone, the events that were merged into it, folded without it."""
        events, merged = statement
        if len(events) == 1:
            counts.reject(events[0], error)
            return fold(merged.get(events[0].job_id, ()))
        middle = len(events) // 2
        return [Statement(events[:middle], merged), Statement(events[middle:], merged)]

    def _send(self, statement: Statement, ranges: Sequence[LogRange], counts: WriteCounts) -> None:
        events = statement.events
        applied, advanced = self._send_rows(events, ranges)
        if advanced < len(ranges):
            self._refuse_gaps(ranges)
        self._seen.update(item.log_id for item in ranges)
        counts.sent(statement)
        counts.applied += applied
        if applied < len(events):
            counts.explain(events, len(events) - applied, self._row_states(events))

    def _send_rows(self, events: Sequence[Event], ranges: Sequence[LogRange]) -> tuple[int, int]:
        parameters = {
            **json_params.column_lists(events),
            "late_jobs": json_params.late_jobs(events),
            "logs": json_params.log_ranges(ranges, self._seen),
        }
        ((applied, advanced),) = self.execute(self._write, parameters)
        return applied, advanced

    def _refuse_gaps(self, ranges: Sequence[LogRange]) -> None:
        """Raise DatabaseAwayError if the database has forgotten what comes before one of the ranges.

        The progress of a log also stays where it is if it was there already; that is no gap. After a gap the session
        is closed: on a new one the caller compares the progress, and reads again what is missing.
        """
        found = _pairs(self.execute(self._progress, {"logs": json_params.texts(item.log_id for item in ranges)}))
        for item in ranges:
            known = found.get(item.log_id)
            if known is None or known < item.end:
                self.close()
                knows = "nothing" if known is None else f"only what is before offset {known}"
                raise DatabaseAwayError(
                    f"the database has forgotten: of {item.topic}[{item.partition}] it has {knows}, "
                    f"though offset {item.start} comes next"
                )

    def _row_states(self, events: Sequence[Event]) -> dict[str, RowState]:
        jobs = json_params.texts(event.job_id for event in events)
        return {job_id: RowState(*state) for job_id, *state in self.execute(self._states, {"jobs": jobs})}


def _pairs(rows: Iterable[Sequence[Any]]) -> dict[str, int]:
    return {log_id: next_offset for log_id, next_offset in rows}  # noqa: C416 - dict() loses the types
