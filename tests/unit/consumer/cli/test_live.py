"""The overview that `status --watch` redraws in a terminal."""

from __future__ import annotations

import io

import pytest
from jobstatus_consumer.cli.show.live import REMEMBERED, STALE, LiveScreen
from jobstatus_consumer.cli.show.screen import PlainConsole
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka import GroupFacts
from jobstatus_consumer.operations import BrokerSide, PartitionStatus, StatusReport
from jobstatus_consumer.records import Log
from rich.text import Text

NOON = 1_767_268_800.0


def report(at: float, lag: int, **more: object) -> StatusReport:
    broker = BrokerSide(GroupFacts("STABLE", ()), "id", {}, {}, 0)
    partition = PartitionStatus(Log("job-status", "id", 0), 0, 1000 + lag, 1000, 1000)
    return StatusReport(NOON + at, broker, partitions=[partition], **more)  # type: ignore[arg-type]


class Screen:
    """A live screen on a terminal of 40 lines, at a time that the test sets."""

    def __init__(self, width: int = 120) -> None:
        self.now = NOON
        self.out = io.StringIO()
        console = PlainConsole(file=self.out, force_terminal=True, width=width, height=40, markup=False)
        self.live = LiveScreen(load_settings({}), console, lambda: self.now)

    def lines(self) -> list[str]:
        found = self.live.drawn()
        assert isinstance(found, Text)
        return found.plain.splitlines()


def test_before_the_first_answer_it_says_what_it_does() -> None:
    assert Screen().lines() == ["jobstatus status: asking the broker and the database ... Ctrl-C ends"]


def test_it_says_when_it_was_true_and_counts_on_while_no_answer_comes() -> None:
    screen = Screen()
    screen.live.show(report(0, 5))
    screen.now = NOON + 2
    assert screen.lines()[0] == "jobstatus status at 12:00:00 UTC, 2s ago; Ctrl-C ends"
    screen.now = NOON + STALE + 1
    assert screen.lines()[0] == "jobstatus status at 12:00:00 UTC, 11s ago: STALE; Ctrl-C ends"


def test_it_says_how_the_lag_has_changed_in_the_last_minute() -> None:
    screen = Screen()
    screen.live.show(report(-REMEMBERED - 5, 9_000))
    assert screen.lines()[1] == "lag: 9,000"
    screen.live.show(report(-30, 3_000))
    screen.live.show(report(0, 1_200, oldest=NOON - 90))
    assert screen.lines()[1] == "lag: 1,200 (-1,800 in 30s), the oldest event waits for 1m 30s"


def test_the_half_that_is_not_known_is_named_and_the_other_one_stays() -> None:
    screen = Screen()
    screen.live.show(StatusReport(NOON, problems=[BrokerAwayError("no broker answers at kafka:9092")]))
    shown = "\n".join(screen.lines())
    assert "! no broker answers at kafka:9092" in shown
    assert "lag: not known" in shown


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_into_80_columns_and_into_a_narrower_terminal(width: int) -> None:
    screen = Screen(width)
    screen.live.show(report(0, 5, problems=[BrokerAwayError("word " * 60)]))
    assert max(map(len, screen.lines())) <= min(width, 80)


def test_the_terminal_is_given_back_and_the_last_report_kept() -> None:
    screen = Screen()
    with screen.live as live:
        live.show(report(0, 5))
    out = screen.out.getvalue()
    assert out.index("\x1b[?1049h") < out.index("lag: 5") < out.index("\x1b[?1049l")
    assert live.last is not None
