"""`jobstatus verify`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Event
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table as Shown

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.replay import ready_table
from jobstatus_consumer.cli.replay_show import no_event_of
from jobstatus_consumer.cli.screen import plain_console
from jobstatus_consumer.cli.session import progress, say, show_values_flag, stopping
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError
from jobstatus_consumer.kafka.offsets import commits
from jobstatus_consumer.kafka.reader import Reader
from jobstatus_consumer.kafka.source import Committed
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import Log
from jobstatus_consumer.repair import Repaired, repair
from jobstatus_consumer.replay.live import LiveTable, patiently
from jobstatus_consumer.replay.ranges import Stretch
from jobstatus_consumer.replay.scope import Scope, Wanted, current_logs, find
from jobstatus_consumer.store import Mend, Store, Table
from jobstatus_consumer.verify import Report, Verifier, is_exact, verify

SHOWN: Final = 20


@click.command("verify")
@with_settings("topic", "group_id", "database_url", "table", "statuses", "wait_for_database")
@click.option("--from", "first", default="beginning", show_default=True, metavar="WHERE",
              help="beginning, P:N[,P:N...], or a time.")  # fmt: skip
@click.option("--to", "last", default=None, metavar="WHERE",
              help="Up to, but without: now, P:N[,P:N...], a time. [default: what the group has written]")  # fmt: skip
@click.option("--job-id", multiple=True, metavar="ID", help="Only this job; may be given again.")
@click.option("--ignore-missing", is_flag=True, help="Jobs without a row are no fault: they were purged.")
@click.option("--strict", is_flag=True,
              help="Also rows that were written without an event before theirs that would have counted: dead letters "
              "that were redriven, or a consumer in a table that had lost rows.")  # fmt: skip
@click.option("--repair", "mend", is_flag=True, help="Set just the rows that are named, where they still stand there.")
@show_values_flag
@json_flag
def command(settings: Settings, first: str, last: str | None, mend: bool, as_json: bool, **given: Any) -> None:
    """Does the table say what the log says? Rows that are missing, behind or different, each named.

    The end is fixed first and rows that move on meanwhile are judged by position, so it works beside a live consumer.
    Rows from a log that is gone are explained and no fault. Exit code 1 if anything differs (and was not mended).
    """
    topics = Topics(settings)
    with stopping() as stop, Reader(settings, topics) as reader, ready_table(settings, to_write=mend) as table:
        scope = _scope(settings, reader, topics, table, first, last, frozenset(given["job_id"]))
        options = {"ignore_missing": given["ignore_missing"], "show_values": given["show_values"],
                   "strict": given["strict"]}  # fmt: skip
        report = _run(reader, scope, table, stop, options)
        unknown = sorted(scope.wanted.jobs - report.counts.seen_jobs)
        repaired, left = None, report
        if mend and report.findings:
            repaired = _repair(settings, reader, scope, table, report, stop)
            left = _run(reader, replace(scope, wanted=Wanted(jobs=frozenset(report.findings))), table, stop, options)
    _show(report, left if repaired else None, repaired, scope, as_json=as_json)
    if unknown:
        raise JobStatusError(no_event_of(unknown, scope))
    sys.exit(1 if left.findings else 0)


def _scope(settings: Settings, reader: Reader, topics: Topics, table: Table, first: str, last: str | None,
           jobs: frozenset[str]) -> Scope:  # fmt: skip
    # the end before anything else: all that is before it is written when rows are read
    committed = commits(settings, topics)
    found = find(reader, first, last or "now")
    known = table.progress()
    logs = current_logs(reader, committed, known)
    stretches, remarks = list(found.stretches), list(found.remarks)
    if last is None:
        stretches = [_written(item, logs[item.partition], committed, known) for item in stretches]
        waiting = sum(item.end for item in found.stretches) - sum(item.end for item in stretches)
        if waiting > 0:
            who = f"the group {settings.group_id} has not written them yet"
            remarks.append(f"{waiting} offsets are not judged: {who} (--to now judges them, too)")
    for remark in remarks:
        say(remark)
    return Scope(reader.topic, stretches, logs, Wanted(jobs=jobs), settings.statuses, remarks)


def _written(item: Stretch, log: Log, committed: Mapping[int, Committed], known: Mapping[str, int]) -> Stretch:
    """The stretch up to what the group has written of this log; nothing of it where neither group nor table says."""
    commit = committed.get(item.partition, Committed())
    end = commit.offset if commit.topic_id in (log.topic_id, "") else None
    if end is None:
        end = known.get(log.id, item.start)
    return item._replace(end=max(item.start, min(item.end, end)))


def _run(reader: Reader, scope: Scope, table: Table, stop: Event, options: Mapping[str, bool]) -> Report:
    verifier = Verifier(table, scope, exact=is_exact(scope, table.progress()), **options)
    try:
        with progress("verifying", scope.offsets) as observe:
            report = verify(reader, scope, table, verifier, stop.is_set, observe)
    except DatabaseAwayError as error:
        raise JobStatusError(f"{error}. Nothing is known of the rest; run it again") from None
    if not report.complete:
        raise JobStatusError("stopped; nothing is known of the rest. Run it again, or give --from and --to")
    return report


def _repair(settings: Settings, reader: Reader, scope: Scope, table: Table, report: Report, stop: Event) -> Repaired:
    store = Store(settings.database, settings.table)
    sink = LiveTable(store, None, stop, settings.wait_for_database, say)

    def mend(rows: Sequence[Mend]) -> set[str]:
        return patiently(lambda: table.mend(rows), stop, settings.wait_for_database, say)

    try:
        return repair(reader, scope, mend, report.findings, sink, stop.is_set)
    finally:
        store.close()


def _show(report: Report, left: Report | None, repaired: Repaired | None, scope: Scope, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_dict(report, left, repaired, scope)))
        return
    console = plain_console(soft_wrap=True)
    table = Shown("rows that are", title=f"{report.counts.events:,} events of {scope.topic}", title_justify="left")
    table.add_column("count", justify="right")
    for kind, count in report.kinds().items():
        table.add_row(kind.replace("_", " "), f"{count:,}")
    console.print(table)
    for job_id, item in list(report.findings.items())[:SHOWN]:
        columns = f" in {', '.join(item.columns)}" if item.columns else ""
        row = f"row at {item.log_id}@{item.log_offset}" if item.log_id else "no row" * (item.kind == "missing")
        console.print(f"  {job_id}: {item.kind.replace('_', ' ')}{columns}; event {item.event}, {row}")
        for name, (theirs, ours) in (item.values or {}).items():
            console.print(f"      {name}: the row says {theirs!r}, the log {ours!r}")
    if len(report.findings) > SHOWN:
        console.print(f"  ... and {len(report.findings) - SHOWN:,} more; --json names all")
    for word, count in report.explained.items():
        console.print(f"{count:,} rows are explained: {word}")
    if report.counts.undecodable:
        console.print(f"{report.counts.undecodable.total():,} records are no events: {dict(report.counts.undecodable)}")
    if repaired is not None and left is not None:
        _show_refused(repaired, console)
        mended = len(report.findings) - len(left.findings)
        console.print(
            f"{mended:,} rows mended, {len(left.findings):,} still differ; {repaired.moved_on:,} had moved on"
        )
    elif not report.findings:
        judged = report.counts.events > 0
        console.print("the table says what the log says" if judged else "nothing was judged: no event was read")


def _show_refused(repaired: Repaired, console: Console) -> None:
    """What the database does not take: rows that were to be set, and events of rows that are missing or behind."""
    for job_id, why in list(repaired.refused.items())[:SHOWN]:
        console.print(f"  {job_id}: the database refuses its row: {why}")
    if len(repaired.refused) > SHOWN:
        console.print(f"  ... and {len(repaired.refused) - SHOWN:,} more; --json names all")
    result = repaired.result
    for why, count in result.refused.items():
        console.print(f"the database refused {count:,} events: {why}")
    if result.refused:
        console.print(f"such as {', '.join(result.refused_at)}")


def _as_dict(report: Report, left: Report | None, repaired: Repaired | None, scope: Scope) -> dict[str, Any]:
    told: dict[str, Any] = {
        "records": report.counts.records,
        "events": report.counts.events,
        "seconds": round(report.seconds, 3),
        "events_per_second": round(report.counts.events / report.seconds, 1) if report.seconds else 0.0,
        "undecodable": dict(report.counts.undecodable),
        "stretches": [item._asdict() for item in scope.stretches],
        "remarks": list(scope.remarks),
        **report.kinds(),
        "explained": report.explained,
        "findings": [_finding(job_id, item) for job_id, item in report.findings.items()],
    }
    if left is not None and repaired is not None:
        told["mended"] = len(report.findings) - len(left.findings)
        told["not_mended"] = sorted(left.findings)
        told["refused"] = {
            "rows": repaired.refused,
            "events": dict(repaired.result.refused),
            "events_at": repaired.result.refused_at,
        }
    return told


def _finding(job_id: str, item: Any) -> dict[str, Any]:
    told = {"job_id": job_id, **item._asdict()}
    if item.values is None:
        del told["values"]
    else:
        told["values"] = {name: {"row": theirs, "log": ours} for name, (theirs, ours) in item.values.items()}
    return told
