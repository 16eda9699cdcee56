"""The budget of dead letters: it stops a bad deployment from draining a topic into them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DeadLetterBudgetError, DeploymentError
from jobstatus_consumer.records import Rejected

WINDOW: Final = 100_000
"""The share of dead letters is that of about so many events, the newest."""
ENOUGH: Final = 1_000
"""The share counts only after so many dead letters."""
REFUSED_BATCHES: Final = 3
"""So many batches of which the database refuses every row for one reason are no coincidence."""
REFUSED_SHARE: Final = 10
"""They must hold a tenth of the rows that may be dead letters in a row, or more."""
BUCKETS: Final = 100
"""The window moves in steps of a hundredth of it."""


class BudgetState(NamedTuple):
    """The counts of a budget. The group's commits carry them as metadata, so that a restart goes on counting."""

    in_a_row: int = 0
    sent: int = 0
    recent_events: int = 0
    recent_dead: int = 0


def excess(state: BudgetState, in_a_row: int, percent: float) -> str:
    """Return by what these counts are over the limits; an empty text if they are not."""
    if state.in_a_row >= in_a_row:
        return f"{state.in_a_row} dead letters in a row; the limit is {in_a_row}"
    share = 100.0 * state.recent_dead / max(1, state.recent_events)
    if state.sent >= ENOUGH and share > percent:
        return f"{share:.1f} % of the last {state.recent_events} events became dead letters; the limit is {percent:g} %"
    return ""


def used_part(state: BudgetState, in_a_row: int, percent: float) -> float:
    """Return the part of the limits that these counts use: at 1 the consumer stops."""
    share = 100.0 * state.recent_dead / max(1, state.recent_events)
    return max(state.in_a_row / in_a_row, min(state.sent / ENOUGH, share / percent))


def used_up(settings: Settings, budgets: Iterable[BudgetState]) -> str:
    """Return by what the first of these counts is over the limits in the settings; an empty text if none is."""
    limits = settings.dlq_budget_in_a_row, settings.dlq_budget_percent
    return next((what for budget in budgets if (what := excess(budget, *limits))), "")


class Budget:
    """Stops the consumer when dead letters are no longer about single events.

    It stops after `in_a_row` dead letters without a good event between them. It also stops when more than `percent` of
    the last 100,000 events became dead letters, once 1,000 were sent. Thread-safe: the writer's thread counts, and the
    polling thread saves and resumes.
    """

    def __init__(self, in_a_row: int, percent: float, *, start_anew: bool = False) -> None:
        self._limit_in_a_row = in_a_row
        self._limit_percent = percent
        self._start_anew = start_anew
        self._lock = threading.Lock()
        self._state = BudgetState()
        self._recent: deque[tuple[int, int]] = deque()
        # the reason of every row of the latest batches, and the number of these batches and rows
        self._refused_for: tuple[str, ...] | None = None
        self._refused_batches = self._refused_rows = 0

    @property
    def state(self) -> BudgetState:
        """The counts so far."""
        return self._state

    @property
    def used(self) -> float:
        """The part of the limits that is used: at 1 the consumer stops."""
        return used_part(self._state, self._limit_in_a_row, self._limit_percent)

    def resume(self, before: BudgetState) -> bool:
        """Go on counting from what an earlier process saved. Returns whether those counts are to be saved anew.

        Raises `DeadLetterBudgetError` if they are over the limit already. With `start_anew` they are ignored: an
        operator has dealt with those dead letters.
        """
        with self._lock:
            if not self._start_anew and before.sent > self._state.sent:
                self._state = before
                self._recent = deque([(before.recent_events, before.recent_dead)])
        self._judge("An earlier start used the budget up: ")
        return self._start_anew and bool(before.sent)

    def charge(self, good: int, dead: int) -> None:
        """Count a batch of `good` and `dead` events, before its offsets are committed.

        Raises `DeadLetterBudgetError` if that is over a limit.
        """
        with self._lock:
            events, dead_before = self._remember(good + dead, dead)
            in_a_row = 0 if good else self._state.in_a_row + dead
            self._state = BudgetState(in_a_row, self._state.sent + dead, events, dead_before)
        if dead:
            self._judge("")

    def judge_refusals(self, rows: int, refused: Sequence[Rejected]) -> None:
        """Look at what the database refused of a batch of so many `rows`, before the dead letters are sent.

        Raises `DeploymentError` if it has refused every row of several batches in a row for one reason: then the table
        is wrong, and not the events. For the writer's thread alone.
        """
        if not rows:
            return
        reasons = {(item.reason, item.sqlstate, item.where) for item in refused}
        if len(refused) < rows or len(reasons) > 1:
            self._refused_for = None
            return
        (reason,) = reasons
        if reason != self._refused_for:
            self._refused_for, self._refused_batches, self._refused_rows = reason, 0, 0
        self._refused_batches += 1
        self._refused_rows += rows
        if self._refused_batches >= REFUSED_BATCHES and self._refused_rows * REFUSED_SHARE >= self._limit_in_a_row:
            raise DeploymentError(
                f"the table refused each of the last {self._refused_rows} rows, in {self._refused_batches} batches, "
                f"for the same reason: {refused[0].detail}. The consumer stopped, and nothing of the last batch was "
                "committed. Look at the table: a new constraint, column or trigger? If the events are wrong, raise "
                "--dlq-budget-in-a-row, and they become dead letters",
                sqlstate=refused[0].sqlstate or None,
                error_class=refused[0].error_class,
                where=refused[0].where,
            )

    def _remember(self, events: int, dead: int) -> tuple[int, int]:
        """Add to the window; the sums over about the last 100,000 events, kept in buckets of about 1,000."""
        total_events, total_dead = self._state.recent_events + events, self._state.recent_dead + dead
        if self._recent and self._recent[-1][0] + events <= WINDOW // BUCKETS:
            last_events, last_dead = self._recent.pop()
            events, dead = last_events + events, last_dead + dead
        self._recent.append((events, dead))
        while self._recent and total_events - self._recent[0][0] >= WINDOW:
            gone_events, gone_dead = self._recent.popleft()
            total_events, total_dead = total_events - gone_events, total_dead - gone_dead
        return total_events, total_dead

    def _judge(self, preface: str) -> None:
        what = excess(self._state, self._limit_in_a_row, self._limit_percent)
        if what:
            self._stop(f"{preface}{what}")

    @staticmethod
    def _stop(what: str) -> None:
        raise DeadLetterBudgetError(
            f"too many dead letters. {what}. The consumer stopped, and nothing of this batch was committed. "
            "`jobstatus dlq list` shows why events were rejected: a bad deployment of the workers, or a missing column "
            "or constraint? Fix the cause, clear the count (jobstatus dlq budget clear, or start once with "
            "--clear-dlq-budget); or raise --dlq-budget-in-a-row or "
            "--dlq-budget-percent"
        )
