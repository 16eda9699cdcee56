"""The target beside the managed table: which rows do not show their state, and putting their jobs into waiting."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from psycopg import sql
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import BadRowError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.connection import Limits, open_connection
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.projection import Projection
from jobstatus_consumer.store.queries import blocks, lines
from jobstatus_consumer.store.session import Opener, Session
from jobstatus_consumer.store.target import Mapped, Missing, Target
from jobstatus_consumer.store.target_catalog import read_shape
from jobstatus_consumer.store.waiting import WaitingJob, waiting_job, waiting_now

FILE: Final = "comparing.sql"
LIMITS: Final = Limits(statement=600.0)
_OF_THE_MOMENT: Final = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|gen_random_uuid|nextval"
    r"|uuid_generate_v\w+)\s*\(|\b(current_timestamp|current_date|current_time|localtime|localtimestamp)\b",
    re.IGNORECASE,
)


class Differing(NamedTuple):
    """A row of the target that does not show the state of its job; `columns` are those that differ."""

    job_id: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """What a page of states has in the target."""

    states: int
    last: str
    """the last job of the page"""
    waiting: int
    not_ours: int
    """states whose key is NULL"""
    held: int
    """rows that differ, and that `where` keeps as they are"""
    differing: Sequence[Differing]
    rowless: Sequence[str]
    """jobs that have no row and do not wait"""


class ColumnBeside(NamedTuple):
    """A mapped column of one row: its value, what the state makes of it, and whether the two differ."""

    name: str
    row: str | None
    state: str | None
    differs: bool
    is_compared: bool
    """False where the value is made from the clock or at random"""
    is_plain: bool
    """whether its value is made of nothing but the status, the attempt and times"""


@dataclass(frozen=True, slots=True)
class RowBeside:
    """What the target shows of one job, beside its state."""

    table: str
    is_ours: bool = True
    """False where the key is NULL"""
    has_row: bool = False
    is_wanted: bool = True
    """False where `where` keeps the row as it is"""
    columns: Sequence[ColumnBeside] = ()
    waiting: WaitingJob | None = None
    trouble: str = ""
    """why the state cannot be shown in this table: the server's error, without a value"""


class TargetTable(Session):
    """The target and the managed table. Each method may block for as long as it reads.

    `connect` raises TargetError if the target file does not fit the database.
    """

    def __init__(
        self, url: str, table: str, target: Target, *, opener: Opener = open_connection, limits: Limits = LIMITS
    ) -> None:
        super().__init__(url, limits, opener=opener)
        self._name = TableName.parse(table)
        self.target = target

    def prepare(self) -> None:
        """Find both tables on a new connection."""
        self._place = self.located(self._name)
        self.shape = read_shape(self, self.target, self._place)
        self.projection = Projection(self.target, self.shape)

    @property
    def makes_rows(self) -> bool:
        """Whether a job without a row gets one."""
        return self.target.missing is Missing.INSERT

    @property
    def compared(self) -> tuple[Mapped, ...]:
        """The mapped columns that can be compared: a value from the clock or at random is another one each time."""
        return tuple(item for item in self.target.assigned if not _OF_THE_MOMENT.search(item.expression))

    def about(self) -> int:
        """About how many states there are, as the server's statistics say."""
        ((count,),) = self._ask("count", table=self._place.identifier.as_string(None))
        return int(count)

    def compare(self, after: str, limit: int, jobs: Collection[str] = ()) -> ComparedPage:
        """Compare the next `limit` states after the job `after`; of `jobs` alone, if any are given.

        Raises BadRowError if an expression cannot be evaluated for one of the states.
        """
        parts = {"differences": lines(map(self.projection.difference, self.compared))}
        ((states, last, waiting, not_ours, held, differing, rowless),) = self._of_jobs(
            "compare", jobs, parts, after=after, limit=limit
        )
        found = [Differing(job_id, tuple(columns)) for job_id, columns in differing]
        return ComparedPage(states, last or after, waiting, not_ours, held, found, rowless)

    def next_job(self, after: str, jobs: Collection[str] = ()) -> str | None:
        """The job after `after`; None after the last."""
        return next((str(job_id) for (job_id,) in self._of_jobs("next_job", jobs, {}, after=after)), None)

    def has_key(self, job_id: str) -> bool:
        """Whether the key of this job can be evaluated."""
        try:
            self._ask("key", job=job_id)
        except BadRowError:
            return False
        return True

    def park(self, jobs: Collection[str]) -> int:
        """Put these jobs into waiting, and return how many of them did not wait before. Waits for their states."""
        return len(self._ask("park", jobs=json_params.texts(jobs)))

    def waiting(self) -> int:
        """How many jobs wait."""
        return waiting_now(self, self._place)[0]

    def beside(self, job_id: str) -> RowBeside | None:
        """What the target shows of this job; None if the job has no state."""
        named, waits = str(self.target.table), waiting_job(self, self._place, job_id)
        try:
            keys = self._ask("key", job=job_id)
            if not keys:
                return None
            if keys == [(False,)]:
                return RowBeside(named, is_ours=False)
            rows = self._ask("row", {"beside": lines(map(self.projection.beside, self.target.assigned))}, job=job_id)
        except BadRowError as error:
            return RowBeside(named, waiting=waits, trouble=str(error))
        if not rows:
            return RowBeside(named, waiting=waits)
        ((wanted, *values),) = rows
        return RowBeside(named, has_row=True, is_wanted=wanted, columns=list(self._columns_of(values)), waiting=waits)

    def _columns_of(self, values: Sequence[Any]) -> Iterator[ColumnBeside]:
        thirds = zip(values[::3], values[1::3], values[2::3], strict=True)
        for item, (row, state, differs) in zip(self.target.assigned, thirds, strict=True):
            is_compared = item in self.compared
            is_plain = self.projection.is_plain(item)
            yield ColumnBeside(item.column, row, state, differs and is_compared, is_compared, is_plain)

    def _of_jobs(
        self, name: str, jobs: Collection[str], parts: Mapping[str, sql.Composable], **given: object
    ) -> list[TupleRow]:
        some = sql.SQL(blocks(FILE)["of_jobs"] if jobs else "")
        more = {"jobs": json_params.texts(jobs)} if jobs else {}
        return self._ask(name, {**parts, "of_jobs": some}, **more, **given)

    def _ask(self, name: str, parts: Mapping[str, sql.Composable] | None = None, **given: object) -> list[TupleRow]:
        return self.execute(self.projection.made(FILE, name, **(parts or {})), given)
