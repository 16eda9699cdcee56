"""What `jobstatus status` prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from jobstatus_consumer.cli.show import target
from jobstatus_consumer.cli.show.screen import narrow, plain_console, print_fitted
from jobstatus_consumer.config import Settings
from jobstatus_consumer.operations import BrokerSide, StatusReport, shown
from jobstatus_consumer.words import counted


def as_dict(settings: Settings, report: StatusReport) -> dict[str, Any]:
    """The report for `--json`; null stands for what could not be found out."""
    broker = report.broker
    members = broker.group.members if broker is not None else None
    return {
        "time": _time(report.at),
        "group": settings.group_id,
        "state": None if broker is None else broker.group.state,
        "members": None if members is None else len(members),
        "member_list": None if members is None else [item._asdict() for item in members],
        "lag": report.lag,
        "lag_seconds": None if report.lag_seconds is None else round(report.lag_seconds, 3),
        "oldest_unwritten": _time(report.oldest),
        "partitions": [item.as_dict() for item in report.partitions],
        "rows": None if report.table is None else report.table.rows,
        "last_write": _time(report.last_write),
        "events_per_second": None if report.rate is None else round(report.rate, 1),
        "open_dead_letters": None if report.letters is None else report.letters.number,
        "all_dead_letters_read": report.letters is not None and report.letters.complete,
        "target": None if report.table is None else target.waiting_as_dict(report.table.waiting),
        "waiting_for": list(report.waiting_for),
        "problems": [str(error) for error in report.problems],
        **({"remarks": list(report.remarks)} if report.remarks else {}),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else shown(datetime.fromtimestamp(seconds, UTC))


def show(settings: Settings, report: StatusReport, console: Console | None = None) -> None:
    """Print the report for a person, in 80 columns; on stdout unless another console is given."""
    console = console or plain_console(soft_wrap=True)
    _group(console, settings, report)
    for line in _lines(report):
        console.print(line)
    for what in report.waiting_for:
        print_fitted(console, f"waiting for {what}")
    for what in report.remarks:
        print_fitted(console, f"to know: {what}")
    if report.table is not None and report.table.waiting is not None:
        target.show_waiting(report.table.waiting, console)
    if report.table is not None and report.table.rows is not None:
        _rows(console, settings.table, report.table.rows)


def _group(console: Console, settings: Settings, report: StatusReport) -> None:
    broker = report.broker
    if broker is None:
        console.print(f"group {settings.group_id}: not known: no answer of the broker")
        return
    members = counted(len(broker.group.members), "member")
    state = broker.group.state.lower().replace("_", " ")
    console.print(f"group {settings.group_id}: {state}, {members}, lag {report.lag:,}")
    table = narrow("partition", title=settings.topic)
    for name in ("first", "committed", "table", "end", "lag"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in report.partitions:
        offsets = (item.low, item.committed, item.written, item.high, item.lag)
        table.add_row(str(item.log.partition), *("-" if number is None else f"{number:,}" for number in offsets))
    console.print(table)
    _members(console, broker)


def _members(console: Console, broker: BrokerSide) -> None:
    if not broker.group.members:
        return
    table = narrow("member", "host", "partitions", title="")
    for item in broker.group.members:
        table.add_row(item.client_id, item.host.removeprefix("/"), ", ".join(map(str, item.partitions)) or "none")
    console.print(table)


def _lines(report: StatusReport) -> Iterator[str]:
    if report.lag and report.lag_seconds is not None:
        yield f"the oldest unwritten event is {report.lag_seconds:,.0f} s old"
    if report.rate is not None:
        left = f"; at this rate {report.lag / report.rate:,.0f} s are left" if report.rate and report.lag else ""
        yield f"{report.rate:,.0f} events/s are being written{left}" if report.rate else "nothing is being written"
    if report.table is not None:
        last = report.last_write
        yield "last write: none" if last is None else f"last write: {_time(last)}, {report.at - last:,.0f} s ago"
    if report.letters is not None:
        more = "" if report.letters.complete else " or more; jobstatus dlq list counts all of them"
        yield f"{counted(report.letters.number, 'open dead letter')}{more}"


def _rows(console: Console, name: str, rows: Any) -> None:
    table = Table("status", title=name, title_justify="left")
    table.add_column("rows", justify="right", no_wrap=True)
    for status, count in sorted(rows.items(), key=lambda item: -item[1]):
        table.add_row(status, f"{count:,}")
    console.print(table)
