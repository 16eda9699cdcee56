"""A store that also writes a table of the user's own: the target."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from psycopg.rows import TupleRow

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Statement, fold
from jobstatus_consumer.errors import (
    BadRowError,
    ConnectionStaleError,
    DatabaseAwayError,
    DeploymentError,
    StoreError,
    WaitingBudgetError,
)
from jobstatus_consumer.records import Batch, Event, Projected, Written
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.blocking import row_of
from jobstatus_consumer.store.projection import Projection
from jobstatus_consumer.store.raw_query import RawQuery
from jobstatus_consumer.store.sending import SendingStore
from jobstatus_consumer.store.target import Missing, Target, target_of
from jobstatus_consumer.store.target_catalog import read_shape, wrong_target
from jobstatus_consumer.store.waiting import waiting_now
from jobstatus_consumer.store.writer import CANCELLED

logger = logging.getLogger("jobstatus.store")

PAGE: Final = 500
"""Waiting jobs that are tried in one statement."""
TAKEN: Final = ("23505", "23P01")
"""A unique index or an exclusion constraint: what is refused depends on the other rows as they are."""
WRONG_SQL: Final = "42"
"""The class of errors that say: no such column, no right, wrong type."""
MANY: Final = 100_000
"""The waiting budget where none is given."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many jobs wait for their row in the target, and since when the oldest has (as the store's clock)."""

    jobs: int = 0
    since: float = 0.0


def store_of(settings: Settings, group: str = "") -> SendingStore:
    """The store of a deployment, not connected yet; `group` as for `Store`.

    Raises SettingsError if the target file is wrong.
    """
    target = target_of(settings)
    if target is None:
        return SendingStore(settings.database, settings.table, group=group)
    return ProjectingStore(
        settings.database, settings.table, target, waiting_budget=settings.waiting_budget, group=group
    )


class ProjectingStore(SendingStore):
    """A store whose statement also writes the target, and which settles what could not be written."""

    def __init__(self, url: str, table: str, target: Target, *, waiting_budget: int = MANY, **given: Any) -> None:
        super().__init__(url, table, **given)
        self._target = target
        self._budget = waiting_budget
        self._every_event = False
        # what the running `write` or `settle` has done
        self._done = Projected()
        # the page of waiting jobs that comes next begins after this job
        self._after = ""
        self.page = PAGE
        """how many jobs a page has; fewer after a time-out"""
        self.waiting = Waiting()

    def prepare(self) -> None:
        """Find both tables on a new connection, and see that the target can be written before anything is."""
        super().prepare()
        shape = read_shape(self, self._target, self._place)
        projection = Projection(self._target, shape)
        self._target_place = shape.place
        if self._target.missing is Missing.INSERT:
            # a row that we make must be whole; one that we change may break a rule of its own, and then it alone is bad
            self._filled.append((shape.place, [item.column for item in (*self._target.key, *self._target.assigned)]))
        self._every_event = projection.every_event
        self._project = projection.write()
        self._sent_write = projection.sent()
        self._settle = projection.statement("settle")
        self._due = projection.statement("due")
        self._postpone = projection.statement("postpone")
        self._try(projection)
        self.count_waiting()

    def _try(self, projection: Projection) -> None:
        """Run the statement for no job: the server judges every name, type and right of it."""
        try:
            self.execute(self._settle, {"jobs": json_params.texts(())})
        except (DeploymentError, BadRowError) as error:
            raise wrong_target(self._target, self._cause(projection, error)) from None

    def _cause(self, projection: Projection, error: Exception) -> str:
        """Which expression of the file the server refuses, if one alone explains the error."""
        for name, expression in self._target.expressions:
            try:
                self.execute(projection.probe(expression, name.partition(".")[2]), {})
            except (DeploymentError, BadRowError) as found:
                return f"{name}: {found}"
        return str(error)

    def fold(self, events: Sequence[Event]) -> list[Statement]:
        """The statements for these events; each event alone where the target needs that."""
        return fold(events, every_event=self._every_event)

    def write(self, batch: Batch) -> Written:
        """Write a batch as `Store.write` does, and the rows of the target in the same statement.

        Raises WaitingBudgetError if too many jobs wait; then nothing was written.
        """
        self._make_room()
        self._done = Projected()
        written = self._once_more(batch, super().write(batch))
        return replace(written, projected=self._done)

    def _once_more(self, batch: Batch, written: Written) -> Written:
        """Try again what a unique index refused: another job of the batch may have given up its place since."""
        taken = {(item.raw.log_id, item.raw.offset) for item in written.rejected if item.sqlstate in TAKEN}
        if not taken:
            return written
        again = super().write(Batch([item for item in batch.events if (item.log_id, item.offset) in taken], (), ()))
        kept = [item for item in written.rejected if item.sqlstate not in TAKEN]
        return replace(written, rejected=kept).plus(again)

    def send(self, batch: Batch) -> bool:
        """Send a batch as `SendingStore.send` does. False also if too many jobs wait: `write` sees to that."""
        return self.waiting.jobs < self._budget and super().send(batch)

    def receive(self, wake: int | None = None) -> Written | None:
        """As `SendingStore.receive`, with what became of the rows of the target."""
        self._done = Projected()
        written = super().receive(wake)
        return None if written is None else replace(written, projected=self._done)

    def _note_target(self, counts: Sequence[int]) -> None:
        self._count(Projected(*counts))

    def execute_write(self, parameters: Mapping[str, bytes]) -> tuple[int, int]:
        """Send the statement, and count what it did to the target."""
        ((applied, advanced, *target),) = self._run(self._project, parameters)
        self._count(Projected(*target))
        return applied, advanced

    def _run(self, query: RawQuery, parameters: Mapping[str, Any]) -> list[TupleRow]:
        """Execute a statement that names the target. A new connection sees what is wrong with it."""
        try:
            return self.execute(query, parameters)
        except DeploymentError as error:
            if not (error.sqlstate or "").startswith(WRONG_SQL):
                raise
            raise ConnectionStaleError(str(error), sqlstate=error.sqlstate, error_class=error.error_class) from None

    def _count(self, found: Projected) -> None:
        self._done = self._done.plus(found)
        if found.parked != found.arrived:
            self.waiting = replace(self.waiting, jobs=max(0, self.waiting.jobs + found.parked - found.arrived))

    def count_waiting(self) -> Waiting:
        """Ask how many jobs wait now, those of other consumers too."""
        jobs, seconds = waiting_now(self, self._place)
        self.waiting = Waiting(jobs, self._clock() - seconds)
        return self.waiting

    def _make_room(self) -> None:
        if self.waiting.jobs < self._budget:
            return
        # the rows may have come since: then this program goes on
        while self.settle().arrived or self._after:
            pass
        if self.waiting.jobs < self._budget:
            return
        raise WaitingBudgetError(
            f"{self.waiting.jobs:,} jobs wait for their row in {self._target.table}, the oldest for "
            f"{self._clock() - self.waiting.since:.0f} s, and JOBSTATUS_WAITING_BUDGET is {self._budget:,}. Nothing "
            "was written, and no offset was committed. Does the application make these rows, and is the key of "
            f"{self._target.path} right? jobstatus status shows what waits"
        )

    def settle(self) -> Projected:
        """Try the next page of waiting jobs again, in the order of their ids. May block as a write does.

        `page_left` says whether more pages come before the first one does. Raises DatabaseAwayError also if the page
        takes too long; the next one is shorter then.
        """
        self._done = Projected()
        limit = self.page
        found = self._run(self._due, {"after": self._after, "limit": limit})
        jobs = [job_id for (job_id,) in found]
        self._settle_jobs(jobs)
        self.page = min(PAGE, 2 * self.page)
        self._after = jobs[-1] if len(jobs) == limit else ""
        if not self._after:
            self.count_waiting()
        return self._done

    @property
    def page_left(self) -> bool:
        """Whether the pages of waiting jobs have not come to their end yet."""
        return bool(self._after)

    def _settle_jobs(self, jobs: Sequence[str]) -> None:
        """Write the rows of these jobs. The one that the server refuses is found by halves, and tried again later."""
        if not jobs:
            return
        try:
            ((_, _, *target),) = self._run(self._settle, {"jobs": json_params.texts(jobs)})
        except BadRowError as error:
            self._settle_parts(jobs, error)
        except DatabaseAwayError as error:
            self._shorten(jobs, error)
        else:
            self._count(Projected(*target))

    def _settle_parts(self, jobs: Sequence[str], error: BadRowError) -> None:
        if len(jobs) == 1:
            self._put_off(jobs[0], error)
            return
        middle = (len(jobs) + 1) // 2
        self._settle_jobs(jobs[:middle])
        self._settle_jobs(jobs[middle:])

    def _shorten(self, jobs: Sequence[str], error: DatabaseAwayError) -> None:
        """After a time-out: raise it, and take fewer jobs at once; a job that alone takes too long is put off."""
        if error.sqlstate != CANCELLED or not self.connected:
            raise error
        if len(jobs) > 1:
            self.page = len(jobs) // 2
            raise error
        self._put_off(jobs[0], error)

    def _put_off(self, job_id: str, error: StoreError) -> None:
        reason = " ".join(filter(None, (error.error_class, error.sqlstate, error.where)))
        self.execute(self._postpone, {"job": job_id, "reason": reason})
        logger.warning("%s in %s is refused and waits: %s", row_of(job_id), self._target.table, reason)
