"""The verdict, in numbers and in words."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from jobstatus_consumer.cli.commands import main
from jobstatus_demo import run
from jobstatus_demo.report import Report
from jobstatus_demo.show import Show, bar, time_text
from rich.console import Console
from support.demo_reports import a_cost, a_recount, a_report

BROKEN = {
    "lost": a_report(recount=a_recount(missing=["job-00001"])),
    "gone_back": a_report(gone_back=["job-00002"]),
    "transactions": a_report(cost=a_cost(transactions=263)),
    "connections": a_report(cost=a_cost(most_connections=2)),
}


def shown(report: Report) -> str:
    page = io.StringIO()
    Show(Console(file=page, width=100)).report(report)
    return page.getvalue()


def test_all_is_well_where_every_bound_held() -> None:
    report = a_report()
    assert report.ok
    assert "BROKEN" not in shown(report)


@pytest.mark.parametrize("name", BROKEN)
def test_each_bound_alone_spoils_the_verdict(name: str) -> None:
    report = BROKEN[name]
    assert not report.ok
    assert [bound.name for bound in report.bounds if not bound.held] == [name]
    assert shown(report).count("BROKEN") == 1


def test_as_many_transactions_as_the_bound_are_allowed() -> None:
    assert a_report(cost=a_cost(transactions=240 + 16 + 6), redelivered=300).ok


@pytest.mark.parametrize("report", [a_report(), BROKEN["lost"]], ids=["well", "lost"])
@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "text"])
def test_the_exit_code_says_whether_all_is_well(
    monkeypatch: pytest.MonkeyPatch, report: Report, arguments: list[str]
) -> None:
    def run_demo(*_: object, shown: Callable[[Report], object], **__: object) -> Report:
        shown(report)
        return report

    monkeypatch.setattr(run, "run_demo", run_demo)
    # below the root, as in a run: a command keeps the names of its help flags from its first call on
    result = CliRunner().invoke(main, ["demo", *arguments])
    assert result.exit_code == (0 if report.ok else 1)
    if arguments:
        assert json.loads(result.stdout)["ok"] == report.ok


def test_figures_of_a_sample_are_marked_and_scaled_up() -> None:
    text = shown(a_report())
    assert "~11,871" in text
    assert "1,000 of 11,871 updates, in 8.0 s" in " ".join(text.split())


def test_the_report_fits_its_width() -> None:
    assert max(len(line) for line in shown(a_report()).splitlines()) <= 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [(10.0, "████"), (5.0, "██"), (0.01, "▏"), (0.0, ""), (6.25, "██▌")],
)
def test_a_bar_is_as_long_as_its_value(value: float, expected: str) -> None:
    assert bar(value, 10.0, 4) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(69.31, "69.3 s"), (1076.2, "1,076 s"), (0.0864, "86.4 ms"), (0.177, "177 ms"), (0.00011, "110 µs")],
)
def test_a_time_has_the_unit_that_fits(seconds: float, expected: str) -> None:
    assert time_text(seconds) == expected
