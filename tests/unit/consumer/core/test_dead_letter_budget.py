"""The budget that stops a bad deployment from draining a topic into the dead letters."""

from __future__ import annotations

import pytest
from jobstatus_consumer.core.dead_letter_budget import Budget, BudgetState
from jobstatus_consumer.errors import DeadLetterBudgetError, DeploymentError
from jobstatus_consumer.records import Rejected
from law.events import event


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


def refusals(count: int, where: str = "status_known") -> list[Rejected]:
    raw = event().raw
    return [Rejected(raw, "write", "check_violation", "refused", "CheckViolation", "23514", where)] * count


def test_the_same_refusal_of_every_row_of_several_batches_is_a_wrong_deployment() -> None:
    budget = Budget(1000, 5)
    budget.judge_refusals(50, refusals(50))
    budget.judge_refusals(50, refusals(50))
    with pytest.raises(DeploymentError, match="each of the last 150 rows, in 3 batches") as caught:
        budget.judge_refusals(50, refusals(50))
    assert (caught.value.sqlstate, caught.value.where) == ("23514", "status_known")


@pytest.mark.parametrize(
    "between",
    [(50, refusals(49)), (50, refusals(50, "another")), (50, refusals(25) + refusals(25, "another")), (50, [])],
)
def test_a_row_that_is_written_or_refused_for_another_reason_ends_the_series(
    between: tuple[int, list[Rejected]],
) -> None:
    budget = Budget(1000, 5)
    for rows, refused in [(50, refusals(50))] * 2 + [between] + [(50, refusals(50))] * 2:
        budget.judge_refusals(rows, refused)


def test_single_bad_events_in_a_quiet_time_are_no_wrong_deployment() -> None:
    budget = Budget(1000, 5)
    for _ in range(99):
        budget.judge_refusals(1, refusals(1))
        budget.judge_refusals(0, [])
    with pytest.raises(DeploymentError):
        budget.judge_refusals(1, refusals(1))
