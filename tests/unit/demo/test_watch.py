"""What going back means."""

from __future__ import annotations

import pytest
from jobstatus_demo.watch import Seen, gone_back

BEFORE = {"a": Seen("log/0", 7, "processing")}


@pytest.mark.parametrize(
    "now",
    [
        {"a": Seen("log/0", 7, "processing")},
        {"a": Seen("log/0", 8, "success")},
        {"a": Seen("log/0", 9, "error"), "b": Seen("log/1", 0, "pending")},
    ],
    ids=["as it was", "later", "a new row beside it"],
)
def test_a_row_may_stay_or_go_on(now: dict[str, Seen]) -> None:
    assert gone_back(BEFORE, now) == []


@pytest.mark.parametrize(
    "now",
    [
        {"a": Seen("log/0", 6, "processing")},
        {"a": Seen("log/0", 8, "pending")},
        {"a": Seen("log/1", 0, "pending")},
        {},
    ],
    ids=["an earlier offset", "a lower state", "a lower state from another log", "no row any more"],
)
def test_a_row_that_goes_back_is_named(now: dict[str, Seen]) -> None:
    assert gone_back(BEFORE, now) == ["a"]
