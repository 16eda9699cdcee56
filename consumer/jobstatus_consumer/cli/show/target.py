"""What the commands print about the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from jobstatus_consumer.cli.show.screen import narrow, plain_console, print_fitted
from jobstatus_consumer.operations import TargetDifference, TargetReport
from jobstatus_consumer.store import ColumnBeside, RowBeside, WaitingReason
from jobstatus_consumer.words import counted, listed

SHOWN: Final = 20
WHY_WAITING: Final[Mapping[str, str]] = {
    "no row": "there was no row when the job was last written; your application makes it",
    "locked": "another session had locked the row",
    "changed": "a command found that the row does not show the state",
}
EXPLAINED: Final[Mapping[str, str]] = {
    "waiting": "waiting",
    "not_ours": "not of this table (the key is NULL)",
    "held_by_where": "kept as they are by where",
    "no_row": "without a row",
}


def show_sync(report: TargetReport, state: str, *, dry_run: bool) -> None:
    """Print what `target sync` found and did."""
    console = plain_console(soft_wrap=True)
    end = "" if report.complete else ", NOT complete"
    print_fitted(console, f"{counted(report.states, 'state')} of {state} compared with {report.table}{end}")
    show_differences(report, console)
    if not report.total:
        return
    if dry_run:
        print_fitted(console, "nothing was changed; without --dry-run these jobs wait until a consumer writes them")
        return
    wait = counted(
        report.parked,
        "more job waits for a consumer to write its row",
        "more jobs wait for a consumer to write their rows",
    )
    print_fitted(console, f"{wait}; see jobstatus status")
    if report.kinds["refused"]:
        print_fitted(console, "a state that is refused is tried again now and then: correct the file or the table")


def show_differences(report: TargetReport, console: Console) -> None:
    """Print the differences, some of them by name, and what is explained."""
    if report.total:
        differ = counted(report.total, "row differs", "rows differ")
        print_fitted(console, f"{report.table}: {differ} from the state: {listed(report.kinds)}")
    else:
        print_fitted(console, f"{report.table}: no row differs from its state")
    for job_id, item in list(report.findings.items())[:SHOWN]:
        print_fitted(console, f"  {job_id}: {_what(item)}")
    if report.total > SHOWN:
        console.print(f"  ... and {report.total - SHOWN:,} more; --json names {len(report.findings):,}")
    if report.explained.total():
        words = {words: report.explained[name] for name, words in EXPLAINED.items()}
        print_fitted(console, f"these are no differences: {listed(words)}")


def show_waiting(reasons: Sequence[WaitingReason], console: Console) -> None:
    """Print how many jobs wait for their row in the target, since when, and why."""
    jobs = sum(item.jobs for item in reasons)
    if not jobs:
        console.print("no job waits for its row in the target")
        return
    oldest = max(item.oldest_seconds for item in reasons)
    wait = counted(jobs, "job waits for its row", "jobs wait for their rows")
    print_fitted(console, f"{wait} in the target, the oldest for {oldest:,.0f} s:")
    for item in reasons[:SHOWN]:
        print_fitted(console, f"  {item.jobs:,}: {why_it_waits(item.reason)}")


def why_it_waits(reason: str) -> str:
    """The reason for a person; what is none of the known words is the error with which the row was refused."""
    return WHY_WAITING.get(reason) or f"the table refused the row: {reason}"


def waiting_as_dict(reasons: Sequence[WaitingReason] | None) -> dict[str, Any] | None:
    """What waits, for `--json`; None where there is no table of waiting jobs."""
    if reasons is None:
        return None
    return {
        "waiting": sum(item.jobs for item in reasons),
        "oldest_seconds": round(max((item.oldest_seconds for item in reasons), default=0.0), 3),
        "reasons": [{**item._asdict(), "oldest_seconds": round(item.oldest_seconds, 3)} for item in reasons],
    }


def show_beside(found: RowBeside, console: Console, *, show_values: bool) -> None:
    """Print what the target shows of one job, beside its state."""
    print_fitted(console, f"{found.table}: {_beside(found)}")
    if found.waiting is not None:
        item = found.waiting
        tries = f", refused {counted(item.tries, 'time')}" if item.tries else ""
        due = f"in {item.next_try_seconds:,.0f} s" if item.next_try_seconds >= 1 else "with its next look"
        print_fitted(console, f"the job has waited for {item.seconds:,.0f} s{tries}: {why_it_waits(item.reason)}")
        print_fitted(console, f"a consumer tries it {due}")
    if not found.columns:
        return
    table = narrow("column", "the row", "the state makes", "", title="")
    for column in found.columns:
        table.add_row(column.name, *_values(column, show_values=show_values), _remark(column))
    console.print(table)


def _beside(found: RowBeside) -> str:
    if found.trouble:
        return f"the state cannot be shown there: {found.trouble}"
    if not found.is_ours:
        return "the job is not of this table (the key is NULL)"
    if not found.has_row:
        return "there is no row"
    columns = ", ".join(item.name for item in found.columns if item.differs)
    if not columns:
        return "the row shows the state"
    return (
        f"the row differs in {columns}" if found.is_wanted else f"where keeps the row as it is; it differs in {columns}"
    )


def _values(item: ColumnBeside, *, show_values: bool) -> list[str]:
    if not show_values and not item.is_plain:
        return ["(--show-values)"] * 2
    return ["NULL" if value is None else value for value in (item.row, item.state)]


def _remark(item: ColumnBeside) -> str:
    if not item.is_compared:
        return "not compared"
    return "differs" if item.differs else ""


def beside_as_dict(found: RowBeside, *, show_values: bool) -> dict[str, Any]:
    """The same for `--json`; without `show_values` only of columns that hold no message, worker or id."""
    return {
        "table": found.table,
        "is_ours": found.is_ours,
        "has_row": found.has_row,
        "held_by_where": found.has_row and not found.is_wanted,
        "waiting": None if found.waiting is None else found.waiting._asdict(),
        "trouble": found.trouble,
        "columns": [
            {
                "name": item.name,
                "differs": item.differs,
                "is_compared": item.is_compared,
                **({"row": item.row, "state": item.state} if show_values or item.is_plain else {}),
            }
            for item in found.columns
        ],
    }


def _what(item: TargetDifference) -> str:
    if item.kind == "missing":
        return "has no row"
    if item.kind == "refused":
        return f"the state cannot be shown: {item.why}"
    return f"differs in {', '.join(item.columns)}"


def differences_as_dict(report: TargetReport) -> dict[str, Any]:
    """The report for `--json`."""
    return {
        "table": report.table,
        "states": report.states,
        "complete": report.complete,
        **{kind: report.kinds[kind] for kind in ("different", "missing", "refused")},
        "explained": {name: report.explained[name] for name in EXPLAINED},
        "findings": [
            {"job_id": job_id, "kind": item.kind, "columns": list(item.columns), "why": item.why}
            for job_id, item in report.findings.items()
        ],
        "not_named": report.total - len(report.findings),
    }


def sync_as_dict(report: TargetReport, *, dry_run: bool) -> dict[str, Any]:
    """What `target sync` found and did, for `--json`."""
    return {"dry_run": dry_run, **differences_as_dict(report), "parked": report.parked}
