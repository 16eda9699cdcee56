"""What a chunk of the log costs does not grow with the jobs that were met before it: nobody walks through those."""

from __future__ import annotations

from typing import Any, NoReturn

from jobstatus_consumer.operations import plan
from jobstatus_consumer.operations.rebuild import take
from jobstatus_consumer.operations.shards import Pass
from law.events import event

EVENTS = [event(f"job-{number % 3}", number) for number in range(10)]


class Unwalked(dict[str, Any]):
    """Finds one item at a time."""

    def keys(self) -> NoReturn:
        raise AssertionError("all that is known was walked through")

    __iter__ = items = values = keys


def test_of_verify_and_of_a_rebuild() -> None:
    found: Any = Pass(1, 0, 1_000_000)
    found.jobs = Unwalked()
    for start in (0, 5):
        take(EVENTS[start : start + 5], found)
    assert len(found.jobs) == 3


def test_of_a_plan() -> None:
    found: Any = Pass(1, 0, 1_000_000)
    found.jobs = Unwalked()
    for start in (0, 5):
        plan._take(EVENTS[start : start + 5], found, plan.NoRows())
    assert len(found.jobs) == 3
