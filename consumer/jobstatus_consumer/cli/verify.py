"""`jobstatus verify`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.replay import ready_table
from jobstatus_consumer.cli.session import progress, say, show_values_flag, stopping
from jobstatus_consumer.cli.show.replay import no_event_of
from jobstatus_consumer.cli.show.verify import Outcome, show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.offsets import commits
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.operations.findings import Report
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.repair import Repaired, Way, repair
from jobstatus_consumer.operations.replay import LiveTable, patiently
from jobstatus_consumer.operations.scope import Scope, Wanted, current_logs, find
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.verify import is_exact, time_limit, verify
from jobstatus_consumer.records import Log
from jobstatus_consumer.store import RowRepair, Store, Table


@click.command("verify")
@with_settings("topic", "group_id", "database_url", "table", "statuses", "wait_for_database")
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
    help="Up to, but without: now, P:N[,P:N...], a time. [default: what the group has written]",
)
@click.option("--job-id", multiple=True, metavar="ID", help="Only this job; may be given again.")
@click.option("--ignore-missing", is_flag=True, help="Jobs without a row are no fault: they were purged.")
@click.option(
    "--strict",
    is_flag=True,
    help="Also rows that were written without an event before theirs that would have counted: dead letters "
    "that were redriven, or a consumer in a table that had lost rows.",
)
@click.option("--repair", "mend", is_flag=True, help="Set just the rows that are named, where they still stand there.")
@show_values_flag
@json_flag
def command(settings: Settings, first: str, last: str | None, mend: bool, as_json: bool, **given: Any) -> None:
    """Does the table say what the log says? Rows that are missing, behind or different, each named.

    The end is fixed first and rows that move on meanwhile are judged by position, so it works beside a live consumer.
    Rows from a log that is gone are explained and no fault. Exit code 1 if anything differs (and was not mended).
    A stop shows what was found and mended until then, and is exit code 1, too.
    """
    topics = Topics(settings)
    with stopping() as stop, RangeReader(settings, topics) as reader, ready_table(settings, to_write=mend) as table:
        options = {name: given[name] for name in ("ignore_missing", "show_values", "strict")}
        options["limit"] = _limit(topics, reader.topic)
        work = _Work(settings, reader, topics, table, stop, options)
        scope = work.scope(first, last, frozenset(given["job_id"]))
        for remark in scope.remarks:
            say(remark)
        outcome = Outcome(scope, work.look(scope))
        if mend and outcome.report.complete and outcome.report.total:
            _mend(work, last, outcome)
    show(outcome, as_json=as_json)
    unknown = sorted(scope.wanted.jobs - outcome.report.counts.seen_jobs)
    if unknown and outcome.report.complete:
        raise JobStatusError(no_event_of(unknown, scope))
    sys.exit(0 if outcome.is_right else 1)


def _limit(topics: Topics, topic: str) -> int:
    facts = topics.describe(topic)
    append_time = facts is not None and facts.config.get("message.timestamp.type") == "LogAppendTime"
    return time_limit(append_time, time.time())


@dataclass(frozen=True, slots=True)
class _Work:
    """What looking and mending need."""

    settings: Settings
    reader: RangeReader
    topics: Topics
    table: Table
    stop: Event
    options: Mapping[str, Any]

    def scope(self, first: str, last: str | None, jobs: frozenset[str] = frozenset()) -> Scope:
        """What to judge; its end is fixed before anything else, so that all before it is written when rows are read."""
        committed = commits(self.settings, self.topics)
        found = find(self.reader, first, last or "now")
        known = self.table.progress()
        logs = current_logs(self.reader, committed, known)
        stretches, remarks = list(found.stretches), list(found.remarks)
        if last is None:
            stretches = [_written(item, logs[item.partition], committed, known) for item in stretches]
            waiting = sum(item.end for item in found.stretches) - sum(item.end for item in stretches)
            if waiting > 0:
                who = f"the group {self.settings.group_id} has not written them yet"
                remarks.append(f"{waiting} offsets are not judged: {who} (--to now judges them, too)")
        return Scope(self.reader.topic, stretches, logs, Wanted(jobs=jobs), self.settings.statuses, remarks)

    def look(self, scope: Scope) -> Report:
        """Hold the scope against the table; after a stop what was found until then."""
        exact = is_exact(scope, self.table.progress())
        criteria = Criteria(exact, **self.options)
        try:
            return verify(self.reader, scope, self.table, criteria, self.stop.is_set, progress=progress)
        except DatabaseAwayError as error:
            raise JobStatusError(f"{error}. Nothing is known of the rest; run it again") from None

    def repair(self, scope: Scope, report: Report, done: Repaired) -> None:
        """Mend what is named."""
        store = Store(self.settings.database, self.settings.table)
        patience = self.settings.wait_for_database
        sink = LiveTable(store, None, self.stop, patience, say)

        def mend(rows: Sequence[RowRepair]) -> set[str]:
            return patiently(lambda: self.table.mend(rows), self.stop, patience, say)

        try:
            way = Way(mend, sink, self.stop.is_set, exact=report.exact, progress=progress)
            repair(self.reader, scope, report.findings, way, done)
        finally:
            store.close()


def _written(
    item: OffsetRange, log: Log, committed: Mapping[int, CommittedOffset], known: Mapping[str, int]
) -> OffsetRange:
    """The stretch up to what the group has written of this log; nothing of it where neither group nor table says."""
    commit = committed.get(item.partition, CommittedOffset())
    end = commit.offset if commit.topic_id in (log.topic_id, "") else None
    if end is None:
        end = known.get(log.id, item.start)
    return item._replace(end=max(item.start, min(item.end, end)))


def _mend(work: _Work, last: str | None, outcome: Outcome) -> None:
    """Mend what is named and look again; where more was found than is named, until nothing is left or nothing moves."""
    done = outcome.repaired = Repaired()
    before, again = outcome.report, True
    try:
        while again:
            # whatever stretch was judged: what a row is made of may have come before
            work.repair(work.scope("beginning", last), before, done)
            if not done.complete:
                return
            named = Wanted(jobs=frozenset(before.findings))
            left = work.look(outcome.scope if before.more.total() else replace(outcome.scope, wanted=named))
            done.complete = left.complete
            if not left.complete:
                return
            outcome.left = left
            again = before.more.total() > 0 and 0 < left.total < before.total
            before = left
    except JobStatusError:
        say(done.told())
        raise
