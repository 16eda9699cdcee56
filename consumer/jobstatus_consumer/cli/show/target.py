"""What the commands print about the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

from jobstatus_consumer.cli.show.screen import plain_console, print_fitted
from jobstatus_consumer.operations import TargetDifference, TargetReport
from jobstatus_consumer.words import counted, listed

SHOWN: Final = 20
EXPLAINED: Final[Mapping[str, str]] = {
    "waiting": "waiting for a consumer",
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
    wait = counted(report.parked, "job waits", "jobs wait")
    print_fitted(console, f"{wait} until a consumer writes the row; jobstatus status shows how many are left")
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
        print_fitted(console, f"no differences: {listed(words)}")


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
