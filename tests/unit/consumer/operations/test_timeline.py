"""How long a job was in each status, and how that is drawn."""

from __future__ import annotations

import random

import pytest
from jobstatus_consumer.cli.show import timeline as drawing
from jobstatus_consumer.cli.show.screen import PlainConsole
from jobstatus_consumer.operations.history import History, HistoryEntry
from jobstatus_consumer.operations.timeline import Span, timeline, totals
from jobstatus_consumer.records import Event
from law.events import event

NOON = 1_767_268_800


def entry(status: str, at: float, outcome: str = "superseded", attempt: int | None = None) -> HistoryEntry:
    micros = int((NOON + at) * 1e6)
    made: Event = event(attempt=attempt, time=1)
    made = made._replace(content=made.content._replace(status=status, attempt=attempt), time=micros)
    return HistoryEntry(0, 0, micros // 1000, "", made, outcome)


def spans(
    *items: HistoryEntry, now: float = 3600, purged_at: float | None = None
) -> list[tuple[str, float | None, bool]]:
    found = timeline(History("job", items, None, purged_at), NOON + now)
    return [(span.status, span.seconds, span.lasts) for span in found]


def test_a_status_lasts_until_the_next_one_and_the_last_until_now() -> None:
    found = spans(entry("pending", 0), entry("processing", 2), entry("processing", 9), entry("success", 62, "shown"))
    assert found == [("pending", 2, False), ("processing", 60, False), ("success", 3538, True)]


def test_what_the_row_never_showed_takes_no_time() -> None:
    late, no_event = entry("error", 5, "late"), entry("error", 6, "no_event")._replace(event=None)
    waiting = entry("success", 9, "waiting")
    assert spans(entry("pending", 0), late, no_event, entry("processing", 8, "shown"), waiting, now=10) == [
        ("pending", 8, False),
        ("processing", 2, True),
    ]


def test_each_attempt_has_a_time_of_its_own_and_a_status_a_sum() -> None:
    items = [
        entry("processing", 0, attempt=1),
        entry("error", 60, attempt=1),
        entry("processing", 70, attempt=2),
        entry("success", 100, "shown", attempt=2),
    ]
    found = timeline(History("job", items), NOON + 100)
    assert [(span.attempt, span.seconds) for span in found] == [(1, 60), (1, 10), (2, 30), (2, 0)]
    assert totals(found) == {"processing": 90, "error": 10, "success": 0}


def test_a_clock_that_went_back_gives_no_negative_time() -> None:
    assert spans(entry("pending", 10), entry("processing", 4, "shown"), now=3) == [
        ("pending", 0, False),
        ("processing", 0, True),
    ]


def test_without_the_event_of_the_row_the_end_is_not_known_and_a_purge_is_an_end() -> None:
    assert spans(entry("pending", 0), entry("processing", 2)) == [("pending", 2, False), ("processing", None, False)]
    assert spans(entry("success", 0, "purged"), purged_at=NOON + 50) == [("success", 50, False)]
    assert spans() == []
    assert spans(entry("error", 5, "open_letter")) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_drawing_fits_80_columns_whatever_the_statuses_and_the_times(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    words = ["x" * 64, "pending", "\x1b[31mred", "processing"]

    def span() -> Span:
        attempt, seconds = rng.choice((None, 2**31 - 1)), rng.random() * 10 ** rng.randrange(-3, 9)
        return Span(rng.choice(words), attempt, rng.randrange(2 * 10**15), seconds, lasts=False)

    found = [span() for _ in range(20)]
    whole = [*found, found[0]._replace(seconds=None), found[1]._replace(lasts=True)]
    drawing.show(whole, PlainConsole(width=160, markup=False))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    assert [line for line in lines if len(line) > 80] == []
    assert "\x1b" not in "".join(lines)


def test_the_longest_span_has_the_longest_bar(capsys: pytest.CaptureFixture[str]) -> None:
    items = [entry("pending", 0), entry("processing", 1), entry("success", 101, "shown")]
    drawing.show(timeline(History("job", items), NOON + 4000), PlainConsole(width=80, markup=False))
    lines = capsys.readouterr().out.splitlines()
    found = {word: line.split() for line in lines for word in ("pending", "processing", "success") if word in line}
    assert found["pending"][-2:] == ["1.0s", "="]
    assert found["processing"][-3:] == ["1m", "40s", "=" * drawing.BAR]
    assert found["success"][-5:] == ["1h", "4m", ">", "so", "far"]
