"""`jobstatus verify`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import click

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import progress, ready_table, say, show_values_flag, stopping
from jobstatus_consumer.cli.show.replay import no_event_of
from jobstatus_consumer.cli.show.verify import Outcome, show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError, StoreError
from jobstatus_consumer.kafka import RangeReader, Topics
from jobstatus_consumer.operations import (
    Criteria,
    EventFilter,
    LiveTable,
    RepairContext,
    RepairResult,
    Scope,
    VerifyReport,
    compare_target,
    is_exact,
    latest_time,
    repair,
    retry_database,
    verify,
    verify_scope,
)
from jobstatus_consumer.store import RowRepair, Table, TargetTable, store_of, target_of


@click.command("verify")
@with_settings(
    "topic", "group_id", "database_url", "table", "target", "waiting_budget", "statuses", "wait_for_database"
)
@click.option(
    "--from",
    "first",
    default="beginning",
    show_default=True,
    metavar="WHERE",
    help="beginning, P:N[,P:N...], or a time.",
)
@click.option(
    "--to",
    "last",
    default=None,
    metavar="WHERE",
    help="The exclusive end: now, P:N[,P:N...], or a time. [default: what the group has written]",
)
@click.option("--job-id", multiple=True, metavar="ID", help="Only this job; may be repeated.")
@click.option("--ignore-missing", is_flag=True, help="Do not report jobs without a row: they were purged.")
@click.option(
    "--strict",
    is_flag=True,
    help="Also report rows that were written while an earlier event was missing that would have counted: a dead "
    "letter that was redriven later, or an event that a consumer met in a table that had lost rows. A row of a "
    "target that differs is a failure then.",
)
@click.option(
    "--repair", "to_repair", is_flag=True, help="Repair the rows that are named, unless they have moved on since."
)
@show_values_flag
@json_flag
def command(settings: Settings, first: str, last: str | None, to_repair: bool, as_json: bool, **given: Any) -> None:
    """Compare the table with the log, and name each row that is missing, behind or different.

    A consumer may go on working: the end of the range is fixed first, and a row that has moved on past it is judged by
    its position alone. A row that the log can say nothing about, such as one from a log that is gone, is counted as
    explained and is no fault.

    With a target its rows are compared with the table, after that. A row that differs is on a line of its own, and a
    failure with --strict alone; jobstatus target sync has it written. These are no differences: a job that waits, a
    NULL key, a row that `where` keeps as it is, and a job without a row, unless missing = "insert".

    Exit code 0: nothing differs, or all of it was repaired. 1: something differs, or the command was stopped; what
    was found and repaired until then is shown. 2: wrong usage.
    """
    topics = Topics(settings)
    with (
        stopping() as stop,
        RangeReader(settings, topics) as reader,
        ready_table(settings, to_write=to_repair) as table,
    ):
        options = {name: given[name] for name in ("ignore_missing", "show_values", "strict")}
        options["limit"] = latest_time(topics, reader.topic)
        work = _Work(settings, reader, topics, table, stop, options)
        scope = work.scope(first, last, frozenset(given["job_id"]))
        for remark in scope.remarks:
            say(remark)
        outcome = Outcome(scope, work.compare(scope), strict=given["strict"])
        if to_repair and outcome.report.complete and outcome.report.total:
            with noted(settings, "repair", {"from": first, "to": last, "findings": outcome.report.kinds()}) as result:
                try:
                    _repair(work, last, outcome)
                finally:
                    result.update({} if outcome.repaired is None else outcome.repaired.as_dict())
        trouble = _look_at_target(settings, stop, outcome)
    show(outcome, as_json=as_json)
    if trouble is not None:
        raise trouble
    unknown = sorted(scope.wanted.jobs - outcome.report.counts.seen_jobs)
    if unknown and outcome.report.complete:
        raise JobStatusError(no_event_of(unknown, scope))
    sys.exit(0 if outcome.is_right else 1)


def _look_at_target(settings: Settings, stop: Event, outcome: Outcome) -> JobStatusError | None:
    """Compare the target with the rows as they are now, and return what keeps it from being compared."""
    target = target_of(settings)
    if target is None or not outcome.complete:
        return None
    jobs = outcome.scope.wanted.jobs
    try:
        with TargetTable(settings.database, settings.table, target) as table:
            table.connect()
            outcome.target = compare_target(table, stop.is_set, jobs=jobs, progress=progress)
    except StoreError as error:
        return JobStatusError(f"the target was not compared: {error}")
    return None


@dataclass(frozen=True, slots=True)
class _Work:
    """What comparing and repairing need."""

    settings: Settings
    reader: RangeReader
    topics: Topics
    table: Table
    stop: Event
    options: Mapping[str, Any]

    def scope(self, first: str, last: str | None, jobs: frozenset[str] = frozenset()) -> Scope:
        """The ranges to compare: see `verify_scope`."""
        return verify_scope(self.settings, self.topics, self.reader, self.table, first, last, jobs)

    def compare(self, scope: Scope) -> VerifyReport:
        """Compare the scope with the table; after a stop the report is not complete."""
        exact = is_exact(scope, self.table.progress())
        criteria = Criteria(exact, **self.options)
        try:
            return verify(self.reader, scope, self.table, criteria, self.stop.is_set, progress=progress)
        except DatabaseAwayError as error:
            raise JobStatusError(f"{error}. Nothing is known of the rest; run it again") from None

    def repair(self, scope: Scope, report: VerifyReport, done: RepairResult) -> None:
        """Repair the rows that the report names; waits for the database as long as `--wait-for-database` says."""
        store = store_of(self.settings)
        patience = self.settings.wait_for_database
        sink = LiveTable(store, None, self.stop, patience, say)

        def set_rows(rows: Sequence[RowRepair]) -> set[str]:
            return retry_database(lambda: self.table.repair_rows(rows), self.stop, patience, say)

        try:
            context = RepairContext(set_rows, sink, self.stop.is_set, exact=report.exact, progress=progress)
            repair(self.reader, scope, report.findings, context, done)
        finally:
            store.close()


def _repair(work: _Work, last: str | None, outcome: Outcome) -> None:
    """Repair what is named and compare again. Findings beyond those that are named are repaired in further rounds.

    Ends when nothing differs any more, or when a round has repaired nothing.
    """
    done = outcome.repaired = RepairResult()
    before, again = outcome.report, True
    try:
        while again:
            # from the beginning, whatever range was compared: a row may be made of earlier events too
            work.repair(work.scope("beginning", last), before, done)
            if not done.complete:
                return
            named = EventFilter(jobs=frozenset(before.findings))
            left = work.compare(outcome.scope if before.more.total() else replace(outcome.scope, wanted=named))
            done.complete = left.complete
            if not left.complete:
                return
            outcome.left = left
            again = before.more.total() > 0 and 0 < left.total < before.total
            before = left
    except JobStatusError:
        say(done.summary())
        raise
