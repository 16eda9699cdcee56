"""`jobstatus replay --undo`: show what would be taken back, ask, and take it back."""

from __future__ import annotations

from threading import Event
from typing import NamedTuple

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.session import agreed, already, progress
from jobstatus_consumer.cli.show import undo as show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations import Scope, UndoResult, undo
from jobstatus_consumer.store import Table
from jobstatus_consumer.words import counted


class UndoRequest(NamedTuple):
    """What to take back (`bad`), everything that the log has (`whole`), and how."""

    settings: Settings
    bad: Scope
    whole: Scope
    dry_run: bool
    yes: bool
    as_json: bool
    show_values: bool


def run(request: UndoRequest, reader: RangeReader, table: Table, stop: Event) -> None:
    """Do it. Blocks until it is done; raises `JobStatusError` if it was stopped or if rows were refused."""
    if request.dry_run or not request.yes:
        planned = _undo(request, reader, table, stop, dry_run=True)
        if not planned.complete:
            raise JobStatusError("stopped; nothing was changed")
        show.plan(planned, request.bad, as_json=request.as_json, dry_run=request.dry_run, values=request.show_values)
        if request.dry_run or not planned.rows:
            return
        agreed(f"Set back {counted(planned.rows, 'row')} of {table.name} now?", yes=request.yes)
    plan = {"ranges": [item._asdict() for item in request.bad.ranges], **request.bad.wanted.as_dict()}
    with noted(request.settings, "undo", plan) as result:
        done = _undo(request, reader, table, stop, dry_run=False)
        result.update(done.as_dict())
    with already(f"{counted(done.set_rows, 'row')} of {table.name} set back"):
        show.result(done, table=str(table.name), as_json=request.as_json, values=request.show_values)
    if not done.complete:
        raise JobStatusError("stopped; run the same command again for the rest")
    if done.refused:
        job, why = next(iter(done.refused.items()))
        raise JobStatusError(
            f"the database refused {counted(len(done.refused), 'row')}, such as that of {job!r}: {why}; all others "
            "are set. Repair the cause and run it again"
        )


def _undo(request: UndoRequest, reader: RangeReader, table: Table, stop: Event, *, dry_run: bool) -> UndoResult:
    return undo(reader, request.bad, request.whole, table, stop.is_set, dry_run=dry_run, progress=progress)
