"""What a dead letter holds, and the budget that stops a bad deployment."""

from __future__ import annotations

import pytest
from jobstatus_consumer.core.dead_letters import Budget, BudgetState, dead_letter
from jobstatus_consumer.errors import DeadLetterBudgetError
from jobstatus_consumer.records import RawRecord, Rejected

RAW = RawRecord(
    "events", 4, 17, 1234, b"job-1", b"\x00value", (("traceparent", b"00"), ("x", None)), "events/top-ic/4/2"
)


def test_the_original_is_untouched_and_says_where_it_came_from() -> None:
    rejected = Rejected(RAW, "write", "check_violation", "refused", "CheckViolation", "23514", "known")
    letter = dead_letter(rejected, "jobstatus", 0.0)
    assert (letter.key, letter.value, letter.timestamp) == (RAW.key, RAW.value, RAW.timestamp)
    assert list(letter.headers[:2]) == list(RAW.headers)
    told = {name: (text or b"").decode() for name, text in letter.headers[2:]}
    assert all(name.startswith("jobstatus.dlq.") for name in told)
    assert told["jobstatus.dlq.topic.id"] == "top-ic"
    assert told["jobstatus.dlq.log.id"] == "events/top-ic/4/2"
    assert (told["jobstatus.dlq.partition"], told["jobstatus.dlq.offset"]) == ("4", "17")
    assert (told["jobstatus.dlq.sqlstate"], told["jobstatus.dlq.where"]) == ("23514", "known")
    assert told["jobstatus.dlq.first.seen"] == "1970-01-01T00:00:00.000+00:00"


def test_so_many_in_a_row_stop() -> None:
    budget = Budget(100, 100)
    budget.charge(0, 99)
    budget.charge(1, 50)
    budget.charge(0, 99)
    with pytest.raises(DeadLetterBudgetError, match="100 dead letters in a row"):
        budget.charge(0, 1)


def test_a_share_stops_only_once_a_thousand_were_sent() -> None:
    budget = Budget(10_000, 5)
    for _ in range(9):
        budget.charge(0, 50)
        budget.charge(50, 50)
    with pytest.raises(DeadLetterBudgetError, match=r"% of the last \d+ events"):
        budget.charge(0, 100)


def test_a_low_share_never_stops() -> None:
    budget = Budget(1000, 5)
    for _ in range(10_000):
        budget.charge(96, 4)
    assert budget.state.sent == 40_000


def test_the_share_is_of_the_last_100_000_events_only() -> None:
    budget = Budget(100_000, 5)
    for _ in range(100):
        budget.charge(9_900, 99)
    with pytest.raises(DeadLetterBudgetError):
        exhaust(budget)


def exhaust(budget: Budget) -> None:
    for _ in range(20):
        budget.charge(1_000, 1_000)


def test_a_restart_goes_on_counting() -> None:
    first = Budget(100, 100)
    first.charge(0, 60)
    second = Budget(100, 100)
    second.resume(first.state)
    with pytest.raises(DeadLetterBudgetError, match="100 dead letters in a row"):
        second.charge(0, 40)
    third = Budget(100, 100)
    with pytest.raises(DeadLetterBudgetError, match="An earlier start used the budget up"):
        third.resume(second.state)


def test_a_raised_limit_goes_on() -> None:
    budget = Budget(500, 100)
    budget.resume(BudgetState(100, 100, 100, 100))
    budget.charge(0, 50)
    assert budget.state == BudgetState(150, 150, 150, 150)
