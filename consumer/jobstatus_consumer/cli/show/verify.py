"""What `jobstatus verify` prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.console import Console

from jobstatus_consumer.cli.session import say
from jobstatus_consumer.cli.show import target
from jobstatus_consumer.cli.show.screen import narrow, plain_console, print_fitted
from jobstatus_consumer.operations import Finding, RepairResult, Scope, TargetReport, VerifyReport
from jobstatus_consumer.words import counted, listed

SHOWN: Final = 20


@dataclass(slots=True)
class Outcome:
    """What was found. After a repair also what it did and, if it was not stopped, what is left."""

    scope: Scope
    report: VerifyReport
    repaired: RepairResult | None = None
    left: VerifyReport | None = None
    target: TargetReport | None = None
    """what the target shows of the rows; None without a target, and after a stop"""
    strict: bool = False
    """whether a difference of the target is a failure"""

    @property
    def complete(self) -> bool:
        """Whether the command was not stopped."""
        return self.report.complete and (self.repaired is None or self.repaired.complete)

    @property
    def is_right(self) -> bool:
        """Whether nothing differs, or nothing does any more. The target counts with `strict` alone."""
        target_differs = self.strict and self.target is not None and self.target.total > 0
        return self.complete and (self.left or self.report).total == 0 and not target_differs

    @property
    def repaired_rows(self) -> int:
        """The number of rows that do not differ any more."""
        return 0 if self.left is None else max(0, self.report.total - self.left.total)


def show(found: Outcome, *, as_json: bool) -> None:
    """Print the result to stdout; after a stop, say on stderr what was done and how to go on."""
    if as_json:
        click.echo(json.dumps(_as_dict(found)))
    else:
        _show(found)
    if not found.report.complete:
        read = f"{found.report.counts.records:,} of {found.scope.offsets:,} offsets"
        say(f"stopped after {read}; nothing is known of the rest. Run it again, or give --from and --to")
    elif found.repaired is not None and not found.complete:
        say(f"stopped; {found.repaired.summary()}")


def _show(found: Outcome) -> None:
    report = found.report
    console = plain_console(soft_wrap=True)
    events = counted(report.counts.events, "event")
    title = f"{events} of {found.scope.topic}{'' if found.complete else ', NOT complete'}"
    table = narrow("rows that are", title=title)
    table.add_column("count", justify="right", no_wrap=True)
    for kind, count in report.kinds().items():
        table.add_row(kind.replace("_", " "), f"{count:,}")
    console.print(table)
    _show_findings(report, console)
    for word, count in report.explained.items():
        print_fitted(console, f"{counted(count, 'row is', 'rows are')} explained: {word}")
    if report.lost_tail:
        jobs = ", ".join(report.lost_tail[:SHOWN])
        print_fitted(console, f"  rows of lost tails: {jobs}; --json names all as lost_tail")
    if report.counts.undecodable:
        none = counted(report.counts.undecodable.total(), "record is no event", "records are no events")
        print_fitted(console, f"{none}: {listed(report.counts.undecodable)}")
    if found.repaired is not None:
        _show_refused(found.repaired, console)
    if found.repaired is not None and found.left is not None:
        console.print(
            f"{counted(found.repaired_rows, 'row')} repaired, {found.left.total:,} still differ; "
            f"{found.repaired.moved_on:,} had moved on"
        )
    elif not report.total and report.complete:
        console.print(_verdict(report))
    if found.target is not None:
        _show_target(found.target, console)


def _show_target(report: TargetReport, console: Console) -> None:
    target.show_differences(report, console)
    if report.total:
        print_fitted(console, "to have these rows written: jobstatus target sync (a failure with --strict alone)")
    if not report.complete:
        print_fitted(console, f"stopped; nothing is known of the rest of {report.table}")


def _verdict(report: VerifyReport) -> str:
    if not report.counts.events:
        return "nothing was judged: no event was read"
    if report.explained:
        return "all rows but those that are explained say what the log says"
    return "the table says what the log says"


def _show_findings(report: VerifyReport, console: Console) -> None:
    for job_id, item in list(report.findings.items())[:SHOWN]:
        columns = f" in {', '.join(item.columns)}" if item.columns else ""
        row = f"row at {item.log_id}@{item.log_offset}" if item.log_id else "no row" * (item.kind == "missing")
        console.print(f"  {job_id}: {item.kind.replace('_', ' ')}{columns}; event {item.event}, {row}")
        for name, (theirs, ours) in (item.values or {}).items():
            console.print(f"      {name}: the row says {theirs!r}, the log {ours!r}")
    if report.total > SHOWN:
        named = f"{len(report.findings):,}" if report.more.total() else "all"
        console.print(f"  ... and {report.total - SHOWN:,} more; --json names {named}")


def _show_refused(repaired: RepairResult, console: Console) -> None:
    """What the database refused: rows that were to be set, and events of rows that are missing or behind."""
    for job_id, why in list(repaired.refused.items())[:SHOWN]:
        console.print(f"  {job_id}: the database refuses its row: {why}")
    if len(repaired.refused) > SHOWN:
        console.print(f"  ... and {len(repaired.refused) - SHOWN:,} more; --json names all")
    result = repaired.result
    for why, count in result.refused.items():
        console.print(f"the database refused {counted(count, 'event')}: {why}")
    if result.refused:
        console.print(f"such as {', '.join(result.refused_at)}")


def _as_dict(found: Outcome) -> dict[str, Any]:
    report = found.report
    fields: dict[str, Any] = {
        "records": report.counts.records,
        "events": report.counts.events,
        "seconds": round(report.seconds, 3),
        "events_per_second": round(report.counts.events / report.seconds, 1) if report.seconds else 0.0,
        "complete": found.complete,
        "undecodable": dict(report.counts.undecodable),
        "stretches": [item._asdict() for item in found.scope.ranges],
        "remarks": list(found.scope.remarks),
        **report.kinds(),
        "explained": report.explained,
        "lost_tail": report.lost_tail,
        "findings": [_finding(job_id, item) for job_id, item in report.findings.items()],
        "not_named": report.more.total(),
    }
    if found.target is not None:
        fields["target"] = target.differences_as_dict(found.target)
    if found.repaired is not None:
        fields |= _repaired(found.repaired)
    if found.left is not None:
        fields["mended"] = found.repaired_rows
        fields["not_mended"] = sorted(found.left.findings)
    return fields


def _repaired(repaired: RepairResult) -> dict[str, Any]:
    return {
        "rows_set": repaired.set_rows,
        "events_applied": repaired.result.applied,
        "moved_on": repaired.moved_on,
        "refused": {
            "rows": repaired.refused,
            "events": dict(repaired.result.refused),
            "events_at": repaired.result.refused_at,
        },
    }


def _finding(job_id: str, item: Finding) -> dict[str, Any]:
    fields = {"job_id": job_id, **item._asdict()}
    if item.values is None:
        del fields["values"]
    else:
        fields["values"] = {name: {"row": theirs, "log": ours} for name, (theirs, ours) in item.values.items()}
    return fields
