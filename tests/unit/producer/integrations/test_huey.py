"""Huey's signals after a cancelled run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huey import CancelExecution, MemoryHuey
from jobstatus_producer.integrations.huey import report_tasks
from support.kept import Kept


def reported(huey: Any, send: Callable[[], Any]) -> list[tuple[str, object, int | None]]:
    """Run what `send` enqueues until the queue is empty; each status with its reason and attempt."""
    kept: Any = Kept()
    report_tasks(huey, kept)
    send()
    while (task := huey.dequeue()) is not None:
        huey.execute(task)
    return [report[1:] for report in kept.reports]


def test_a_run_that_cancels_itself_and_is_tried_again_counts_on() -> None:
    huey: Any = MemoryHuey()
    runs: list[None] = []

    def third_time() -> None:
        runs.append(None)
        if len(runs) < 3:
            raise CancelExecution(retry=len(runs) == 2 or None)

    assert reported(huey, huey.task(retries=5)(third_time)) == [
        ("pending", None, 0),
        ("processing", None, 1),
        ("retrying", "canceled", 1),
        ("processing", None, 2),
        ("retrying", "canceled", 2),
        ("processing", None, 3),
        ("success", None, 3),
    ]
    assert huey.storage._counters == {}


def test_a_task_that_is_cancelled_and_not_tried_again_is_revoked() -> None:
    huey: Any = MemoryHuey()

    def cancels_itself() -> None:
        raise CancelExecution(retry=False)

    expected = [("pending", None, 0), ("processing", None, 1), ("revoked", "canceled", 1)]
    assert reported(huey, huey.task(retries=5)(cancels_itself)) == expected


def test_a_hook_that_cancels_a_task_with_retries_ends_it() -> None:
    huey: Any = MemoryHuey()

    def never_run() -> None:
        raise AssertionError

    def cancel(_task: object) -> None:
        raise CancelExecution

    huey.pre_execute()(cancel)
    expected = [("pending", None, 0), ("processing", None, 1), ("revoked", "canceled", 1)]
    assert reported(huey, huey.task(retries=5)(never_run)) == expected
