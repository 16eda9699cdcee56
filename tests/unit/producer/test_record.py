"""When an event counts as late."""

from __future__ import annotations

import pytest
from jobstatus_schemas import CODEC
from support.spools import entry

MADE = 1_700_000_000_000_000
SECOND = 1_000_000


@pytest.mark.parametrize(
    ("age", "late"),
    [(0, False), (5 * SECOND, False), (5 * SECOND + 1, True), (86_400 * SECOND, True), (-1, True), (-SECOND, True)],
)
def test_an_event_is_late_after_five_seconds_or_where_the_clock_cannot_be_trusted(age: int, late: bool) -> None:
    assert entry(MADE).is_late(MADE + age) is late


def test_an_entry_gives_its_event_back() -> None:
    event = entry(MADE, "job-17", "why").event(CODEC)
    assert (event.job_id, event.error_message, event.occurred_at) == ("job-17", "why", MADE)
