"""Writes batches under the guard: one statement for a batch, in the ordinary case."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.core import Encoded, RowState, Statement, fold
from jobstatus_consumer.errors import BadRowError, DatabaseAwayError, DeploymentError, LockedError, StoreError
from jobstatus_consumer.records import Batch, Event, LogRange, TopicProgress, Written
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.blocking import Blocker, blocker_of, oldest_holder, row_of
from jobstatus_consumer.store.connection import DEFAULT_LIMITS, Limits, open_connection
from jobstatus_consumer.store.groups import announce, others_text
from jobstatus_consumer.store.layout import MANAGED
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session
from jobstatus_consumer.store.sqlstate import LOCK_TIME_OUT
from jobstatus_consumer.store.write_counts import WriteCounts, unexplained

logger = logging.getLogger("jobstatus.store")

CANCELLED: Final = "57014"
ALMOST: Final = 0.9
"""The share of its limit after which a cancelled statement counts as one that reached it."""


T = TypeVar("T")


class TooLongError(DatabaseAwayError):
    """A statement of the writer reached a time limit: fewer rows at once may be in time."""


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
        group: str = "",
    ) -> None:
        """`group` is that of a consumer; an operator's command that writes has none."""
        super().__init__(url, limits, clock=clock, opener=opener)
        self._group = group
        # the logs whose progress this session has seen
        self._seen: set[str] = set()
        # the user's own table, where there is one
        self._target_place: TableName | None = None
        # how many rows a statement may have; fewer after a time-out
        self._at_once = sys.maxsize
        self._name = TableName.parse(table)
        self._compose(self._name)

    def _compose(self, place: TableName) -> None:
        """Compose the statements for the table at this place: once for each connection, not for every batch."""
        self._place = place
        # the tables whose rows an event fills, each with the columns that it fills
        self._filled: list[tuple[TableName, Collection[str]]] = [(place, MANAGED.catalog_types)]
        # by name of a constraint or a column: a remark on it if it is about other columns only
        self._foreign: dict[str, str] = {}
        self._write = block("write.sql", "write", place).as_bytes()
        self._constrained = block("write.sql", "constrained", place).as_bytes()
        self._states = block("write.sql", "known_states", place).as_bytes()
        self._progress = block("write.sql", "progress", place).as_bytes()
        self._topic_progress = block("write.sql", "topic_progress", place).as_bytes()

    def prepare(self) -> None:
        """Find the table on a new connection: it may be another server."""
        self._compose(self.located(self._name))
        if self._group and not self._pooled:
            self._look_for_other_groups()

    def _look_for_other_groups(self) -> None:
        try:
            others = others_text(self._name, announce(self, self._place, self._group))
        except DeploymentError as error:
            # an administrator may have taken the right to such locks from everybody; writing needs none
            logger.info("whether another group writes %s is not known: %s", self._name, error)
            return
        if others:
            logger.warning("%s", others)

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
        """Write a batch, in one statement unless a job's events cannot merge, a row is bad, or the write is slow.

        1. Fold and encode the events, unless `encode` has done so.
        2. Write the statements in order; the last one carries the progress of the logs.
        3. If a statement is refused because of a row, halve it until that row is alone; the other rows are written.
        4. If a statement reaches its time limit and no lock of another session explains that, halve it.
        A row is rejected only if everything else was written. Any other error is raised, and the caller gives the
        whole batch again. May block for `Limits.statement` in each statement.
        """
        started = self._clock()
        counts = WriteCounts()
        *before, last = self.encode(batch).statements
        for statement in before:
            self._apply(statement, (), counts)
        self._apply(last, batch.ranges, counts)
        seconds = self._clock() - started
        if seconds < self._limits.statement / 2:
            self._at_once = sys.maxsize
        return counts.written(seconds)

    def encode(self, batch: Batch) -> Encoded:
        """Do what can be done of a write without the database, once. For any thread; takes about 1 us for each event.

        What was encoded before a connection was made must not be written on it.
        """
        if isinstance(batch, Encoded):
            return batch
        statements = [*map(_encoded, self.fold(batch.events))] or [Statement((), {})]
        return Encoded(batch.events, batch.rejected, batch.ranges, statements)

    def fold(self, events: Sequence[Event]) -> list[Statement]:
        """The statements for these events, in their order."""
        return fold(events)

    def _apply(self, statement: Statement, ranges: Sequence[LogRange], counts: WriteCounts) -> None:
        """Write one statement; if a row of it is bad, or if it takes too long, write its parts."""
        try:
            parts = self._send(statement, ranges, counts)
        except BadRowError as error:
            parts = self._parts(statement, error, counts)
        except TooLongError as error:
            parts = self._shorter(statement, error)
        else:
            ranges = ()
        for part in parts:
            self._apply(part, (), counts)
        if ranges:
            self._apply(Statement((), {}), ranges, counts)

    def _parts(self, statement: Statement, error: BadRowError, counts: WriteCounts) -> Sequence[Statement]:
        """The halves; or, if the bad row is alone, the events that were merged into it, folded without it."""
        events = statement.events
        if not events:
            # a statement without rows cannot be refused because of a row
            raise DeploymentError(
                str(error), sqlstate=error.sqlstate, error_class=error.error_class, where=error.where
            ) from error
        self._refuse_foreign(error)
        if len(events) == 1:
            counts.reject(events[0], error)
            return _behind(statement)
        return _pieces(statement, (len(events) + 1) // 2)

    def _refuse_foreign(self, error: BadRowError) -> None:
        """Raise DeploymentError if the row was refused because of columns that are not ours: no event can fill them."""
        if not error.where:
            return
        remark = self._foreign.get(error.where)
        if remark is None:
            remark = self._foreign[error.where] = self._remark_on(error.where)
        if remark:
            raise DeploymentError(
                f"{error}: {remark}, which jobstatus does not fill, so no event can be written. Nothing was "
                "committed. Give it a default, or allow NULL",
                sqlstate=error.sqlstate,
                error_class=error.error_class,
                where=error.where,
            ) from None

    def _remark_on(self, where: str) -> str:
        """Which foreign columns this constraint or column is about; empty if it is about one that an event fills."""
        remark = ""
        for place, filled in self._filled:
            names = {"table": place.identifier.as_string(None), "where": where}
            columns = [column for (column,) in self.execute(self._constrained, names)]
            if set(columns) & set(filled):
                return ""
            if columns:
                remark = f"{where} of {place} is about {', '.join(columns)}"
        return remark

    def _shorter(self, statement: Statement, error: TooLongError) -> Sequence[Statement]:
        """After a time-out: the halves, of which each takes less time; later statements are as short.

        Raises DatabaseAwayError if that does not help: another session has locked a row or the table, or a row is
        alone. The error names them.
        """
        events = statement.events
        if len(events) > self._at_once:
            return _pieces(statement, self._at_once)
        blocker = self._blocker(events)
        if blocker is None and len(events) > 1:
            self._at_once = (len(events) + 1) // 2
            return _pieces(statement, self._at_once)
        locked = blocker is not None or error.sqlstate == LOCK_TIME_OUT
        kind = LockedError if locked else DatabaseAwayError
        raise kind(
            f"{error}: {blocker or self._alone(events)}", sqlstate=error.sqlstate, error_class=error.error_class
        ) from None

    def _blocker(self, events: Sequence[Event]) -> Blocker | None:
        jobs = [event.job_id for event in events]
        return self._ask(lambda connection: blocker_of(connection, self._place, jobs, self._target_place))

    def _alone(self, events: Sequence[Event]) -> str:
        """Why a single row was not written in time, as far as that can be seen."""
        if events:
            raw = events[0].raw
            what = f"{row_of(events[0].job_id)} ({raw.topic}[{raw.partition}] offset {raw.offset}) alone takes too long"
        else:
            what = f"the progress in {self._place.progress} takes too long"
        holder = self._ask(lambda connection: oldest_holder(connection, self._place))
        return f"{what}; perhaps it waits for {holder.who}" if holder else f"{what}; is a trigger of the table slow?"

    def _ask(self, question: Callable[[Connection[TupleRow]], T]) -> T | None:
        """The answer to a question about a time-out; None where there is no answer, and the connection lives on."""
        try:
            with self.use() as connection:
                return question(connection)
        except StoreError as error:
            if not self.connected:
                raise
            logger.debug("what the statement waited for is unknown: %s", error)
            return None

    def _send(self, statement: Statement, ranges: Sequence[LogRange], counts: WriteCounts) -> Sequence[Statement]:
        """Write one statement. Return what of it was not written although nothing explains that."""
        events = statement.events
        if len(events) > self._at_once:
            raise TooLongError(f"{len(events)} rows took too long before")
        applied, advanced = self._send_rows(statement, ranges)
        if advanced < len(ranges):
            self._refuse_gaps(ranges)
        self._seen.update(item.log_id for item in ranges)
        if applied == len(events):
            counts.sent(statement)
            counts.applied += applied
            return ()
        return self._explain(statement, applied, counts)

    def _explain(self, statement: Statement, applied: int, counts: WriteCounts) -> Sequence[Statement]:
        """Count the events that changed nothing. Return those that no row explains, each in a statement of its own."""
        events = statement.events
        rows = self._row_states(events)
        left_out = unexplained(events, len(events) - applied, rows)
        if left_out and len(events) == 1:
            return self._left_out(statement, counts)
        return self._sort_out(statement, applied, rows, left_out, counts)

    @staticmethod
    def _sort_out(
        statement: Statement,
        applied: int,
        rows: Mapping[str, RowState],
        left_out: Sequence[Event],
        counts: WriteCounts,
    ) -> Sequence[Statement]:
        """Count the events but those `left_out`, and return each of these in a statement of its own."""
        gone = {event.job_id for event in left_out}
        kept = [event for event in statement.events if event.job_id not in gone]
        # those that are sent again are counted then
        counts.sent(statement.part(kept))
        counts.applied += min(applied, len(kept))
        counts.explain(kept, len(kept) - min(applied, len(kept)), rows)
        return [statement.part([event]) for event in left_out]

    def _left_out(self, statement: Statement, counts: WriteCounts) -> Sequence[Statement]:
        """Write a row once more that was not written before. If it is left out again, a trigger does not want it."""
        events = statement.events
        applied, _ = self._send_rows(statement, ())
        rows = {} if applied else self._row_states(events)
        if not applied and unexplained(events, 1, rows):
            counts.leave_out(events[0])
            return _behind(statement)
        counts.sent(statement)
        counts.applied += applied
        counts.explain(events, 1 - applied, rows)
        return ()

    def _send_rows(self, statement: Statement, ranges: Sequence[LogRange]) -> tuple[int, int]:
        parameters = self._parameters(statement, ranges)
        sent_at = self._clock()
        try:
            applied, advanced = self.execute_write(parameters)
        except DatabaseAwayError as error:
            if self._is_time_out(error, self._clock() - sent_at):
                raise TooLongError(str(error), sqlstate=error.sqlstate, error_class=error.error_class) from None
            raise
        return applied, advanced

    def _parameters(self, statement: Statement, ranges: Sequence[LogRange]) -> dict[str, bytes]:
        of_events = statement.parameters or json_params.of_events(statement.events)
        return {**of_events, "logs": json_params.log_ranges(ranges, self._seen)}

    def execute_write(self, parameters: Mapping[str, bytes]) -> tuple[int, int]:
        """Send the statement; returns how many rows it wrote, and of how many logs it advanced the progress."""
        ((applied, advanced),) = self.execute(self._write, parameters)
        return applied, advanced

    def _is_time_out(self, error: DatabaseAwayError, seconds: float) -> bool:
        """Whether the statement reached a limit of ours. Somebody's cancel has the same SQLSTATE and comes earlier."""
        if error.sqlstate == LOCK_TIME_OUT:
            return True
        return error.sqlstate == CANCELLED and seconds > self._limits.statement * ALMOST

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


def _encoded(statement: Statement) -> Statement:
    """The statement with its parameters; without them if a value cannot be sent, which `write` then finds."""
    try:
        return statement._replace(parameters=json_params.of_events(statement.events))
    except BadRowError:
        return statement


def _behind(statement: Statement) -> list[Statement]:
    """The events that were merged into the statement's only row, folded without it."""
    (event,) = statement.events
    return fold(statement.merged.get(event.job_id, ()))


def _pieces(statement: Statement, size: int) -> list[Statement]:
    """The statement in pieces of so many rows."""
    events = statement.events
    return [statement.part(events[at : at + size]) for at in range(0, len(events), size)]


def _pairs(rows: Iterable[Sequence[Any]]) -> dict[str, int]:
    return {log_id: next_offset for log_id, next_offset in rows}  # noqa: C416 - dict() loses the types
