"""What a chunk of the log costs does not grow with the jobs that were met before it: nobody walks through those."""

from __future__ import annotations

from typing import Any, NoReturn

from jobstatus_consumer.operations import plan
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.operations.shards import Pass
from jobstatus_consumer.operations.verify import Verifier
from jobstatus_consumer.records import Log
from law.events import event

LOG = Log("job-status", "AAAAAAAAAAAAAAAAAAAAAA", 0)
EVENTS = [event(f"job-{number % 3}", number) for number in range(10)]


class NoRows:
    def rows(self, jobs: object) -> dict[str, Any]:
        return {}


class Unwalked(dict[str, Any]):
    """Finds one item at a time."""

    def keys(self) -> NoReturn:
        raise AssertionError("all that is known was walked through")

    __iter__ = items = values = keys


def test_of_verify() -> None:
    scope = Scope("job-status", [OffsetRange(0, 0, 10)], {0: LOG})
    verifier: Any = Verifier(NoRows(), scope, exact=True, ignore_missing=False, show_values=False)  # type: ignore[arg-type]
    verifier._cache = Unwalked()
    for start in (0, 5):
        verifier.take(EVENTS[start : start + 5])
    assert len(verifier._cache) == len(verifier.report.findings) == 3


def test_of_a_plan() -> None:
    found: Any = Pass(1, 0, 1_000_000)
    found.jobs = Unwalked()
    for start in (0, 5):
        plan._take(EVENTS[start : start + 5], found, plan.NoRows())
    assert len(found.jobs) == 3
