"""`jobstatus history`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from threading import Event as Flag
from typing import Any, Final

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import ready_table, say, show_values_flag, stopping
from jobstatus_consumer.cli.show import target
from jobstatus_consumer.cli.show import timeline as drawing
from jobstatus_consumer.cli.show.screen import narrow, plain_console
from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Letter, decoder_of
from jobstatus_consumer.errors import JobStatusError, StartError, StoreError
from jobstatus_consumer.kafka import RangeReader, Topics, commits
from jobstatus_consumer.operations import (
    History,
    HistoryEntry,
    Scope,
    brief,
    current_logs,
    explain,
    find,
    letters_of,
    records_of,
    shown,
    shown_ms,
    timeline,
)
from jobstatus_consumer.store import RowBeside, TargetTable, target_of
from jobstatus_consumer.words import rfc3339_of

TIME: Final = len("00:00:00")
"""The least width of a time: its date and its hour take one line each, and neither is broken."""
_WITHOUT_VALUES: Final = ("status", "attempt", "late", "occurred_at", "event_id")
"""What is shown of an event without --show-values."""
_ROW_WITHOUT_VALUES: Final = ("attempt", "latest", "log_id", "log_offset", "status", "occurred_at", "event_id")
"""What is shown of a row without --show-values."""


@click.command("history")
@click.argument("job_id", metavar="JOB")
@with_settings("topic", "dlq_topic", "group_id", "database_url", "table", "target", "statuses")
@show_values_flag
@json_flag
def command(settings: Settings, job_id: str, show_values: bool, as_json: bool) -> None:
    """Show why a job is in its state: each retained event, the one that the row shows, and why others do not count.

    Below it: how long the job was in each status, by the times of the events that the row has shown.

    With a target, also what its row shows beside the state. A value that is made of an error message, a worker or
    anything else but the status, the attempt and times is shown with --show-values alone.

    Exit code 1: the job has neither an event nor a row.
    """
    topics = Topics(settings)
    with stopping() as stop, ready_table(settings, to_write=False) as table, RangeReader(settings, topics) as reader:
        found = find(reader, "beginning", "now")
        logs = current_logs(reader, commits(settings, topics), table.progress())
        scope = Scope(reader.topic, found.ranges, logs, decoder=decoder_of(settings), remarks=found.remarks)
        row, purged = table.rows([job_id]).get(job_id), table.purged([job_id]).get(job_id)
        records = records_of(reader, scope, job_id, stop.is_set)
        letters = _letters(settings, topics, job_id, stop)
    if stop.is_set():
        raise JobStatusError("stopped")
    if not records and row is None:
        was = f"; it was purged at {_time(purged.at)}" if purged is not None else ""
        raise StartError(f"there is no retained event and no row of {job_id!r}{was}")
    for remark in found.remarks:
        say(remark)
    beside = _beside(settings, job_id)
    explained = explain(job_id, records, row, letters, scope, purged)
    spans = timeline(explained, time.time())
    if as_json:
        more = {} if beside is None else {"target": target.beside_as_dict(beside, show_values=show_values)}
        drawn = {"timeline": drawing.as_list(spans)}
        click.echo(json.dumps({**_as_dict(explained, show_values=show_values), **drawn, **more}))
        return
    _show(explained, show_values=show_values)
    drawing.show(spans, plain_console(wide=True))
    if beside is not None:
        target.show_beside(beside, plain_console(wide=True), show_values=show_values)


def _beside(settings: Settings, job_id: str) -> RowBeside | None:
    """What the target shows of the job; None without a target, or where it cannot be read, which is printed."""
    wanted = target_of(settings)
    if wanted is None:
        return None
    try:
        with TargetTable(settings.database, settings.table, wanted) as table:
            table.connect()
            return table.beside(job_id)
    except StoreError as error:
        say(f"the target is not shown: {error}")
        return None


def _letters(settings: Settings, topics: Topics, job_id: str, stop: Flag) -> list[Letter]:
    if topics.describe(settings.dead_letter_topic) is None:
        say(f"{settings.dead_letter_topic} does not exist: dead letters are not looked at")
        return []
    with RangeReader(settings, topics, topic=settings.dead_letter_topic) as reader:
        found = letters_of(reader, job_id, stop.is_set)
    return [letter for letter in found if letter.is_of(settings.group_id, settings.table)]


def _show(found: History, *, show_values: bool) -> None:
    table = narrow("position", title=found.job_id)
    table.add_column("appended (UTC)", min_width=TIME)
    table.add_column("status")
    table.add_column("attempt", justify="right")
    table.add_column("why")
    if show_values:
        table.add_column("worker")
        table.add_column("occurred (UTC)", min_width=TIME)
        table.add_column("error message")
    for item in found.items:
        table.add_row(*_cells(item, show_values=show_values))
    console = plain_console(wide=True)
    console.print(table)
    for remark in found.remarks:
        console.print(remark)


def _cells(item: HistoryEntry, *, show_values: bool) -> list[str]:
    event = item.event
    why = item.why + (f" ({item.detail})" if item.detail else "")
    mark = "-> " if item.outcome == "shown" else ""
    position = f"{mark}{item.partition}:{item.offset}"
    now = datetime.now(UTC)
    appended = brief(shown_ms(item.timestamp), now)
    if event is None:
        return [position, appended, "-", "-", why]
    attempt = "-" if event.attempt is None else str(event.attempt)
    cells = [position, appended, event.status + (" (late)" if event.late else ""), attempt, why]
    if show_values:
        said = event.content
        cells += [said.worker_id or "-", brief(_micros(said.occurred_at), now), said.error_message or "-"]
    return cells


def _micros(micros: int) -> str:
    return _time(micros / 1e6)


def _time(seconds: float) -> str:
    return shown(datetime.fromtimestamp(seconds, UTC))


def _as_dict(found: History, *, show_values: bool) -> dict[str, Any]:
    row = found.row
    return {
        "job_id": found.job_id,
        "row": None if row is None else _row(row._asdict(), show_values=show_values),
        "events": [_item(item, show_values=show_values) for item in found.items],
        "purged_at": None if found.purged_at is None else _time(found.purged_at),
        "remarks": found.remarks,
    }


def _row(row: dict[str, Any], *, show_values: bool) -> dict[str, Any]:
    times = {name: rfc3339_of(row[name]) for name in ("latest", "occurred_at") if row[name] is not None}
    return {name: value for name, value in {**row, **times}.items() if show_values or name in _ROW_WITHOUT_VALUES}


def _item(item: HistoryEntry, *, show_values: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "partition": item.partition,
        "offset": item.offset,
        "appended": shown_ms(item.timestamp),
        "log_id": item.log_id,
        "outcome": item.outcome,
        "why": item.why,
        "detail": item.detail,
    }
    if item.event is not None:
        reported = item.event.as_dict()
        # the job's id is in the head of the document
        names = reported.keys() - {"job_id"} if show_values else _WITHOUT_VALUES
        fields |= {name: value for name, value in reported.items() if name in names}
    return fields
