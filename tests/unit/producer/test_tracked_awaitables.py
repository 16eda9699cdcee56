"""What a decorated function gives to be awaited is a part of the job."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Generator

import pytest
from jobstatus_producer.tracking import tracked
from support.tracking import BEGUN, DONE, Jobs


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def passed_on(function: Callable[[str], Awaitable[str]]) -> Callable[[str], Awaitable[str]]:
    """A decorator that knows nothing of coroutines: what it makes is a plain function that returns one."""

    @functools.wraps(function)
    def call(job_id: str) -> Awaitable[str]:
        return function(job_id)

    return call


async def work(job_id: str) -> str:
    await asyncio.sleep(0)
    if job_id == "bad":
        raise ValueError("boom")
    return job_id


class Later:
    """Something to be awaited that is no coroutine."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    def __await__(self) -> Generator[object, None, str]:
        return work(self._job_id).__await__()


@pytest.mark.parametrize("function", [passed_on(work), staticmethod(work), Later], ids=["wrapped", "static", "later"])
@pytest.mark.parametrize("job", ["good", "bad"])
def test_what_gives_something_to_be_awaited_is_tracked_until_that_ends(
    jobs: Jobs, function: Callable[[str], Awaitable[str]], job: str
) -> None:
    tracked_function = tracked(jobs.track, "job_id")(function)

    async def run() -> str:
        pending = tracked_function(job)
        assert jobs.reports == [BEGUN]
        return await pending

    if job == "good":
        assert asyncio.run(run()) == "good"
        assert jobs.reports == [BEGUN, DONE]
    else:
        with pytest.raises(ValueError, match="boom"):
            asyncio.run(run())
        assert jobs.reports == [BEGUN, ("error", "ValueError: boom")]


@pytest.mark.parametrize(
    ("job", "cancelled", "end"),
    [
        ("good", False, DONE),
        ("bad", False, ("error", "ValueError: boom")),
        ("good", True, ("error", "CancelledError")),
    ],
)
def test_a_task_stays_a_task_and_is_tracked_until_it_ends(
    jobs: Jobs, job: str, cancelled: bool, end: tuple[str, object]
) -> None:
    @tracked(jobs.track, "job_id")
    def submit(job_id: str) -> asyncio.Task[str]:
        return asyncio.get_running_loop().create_task(work(job_id))

    async def run() -> None:
        task = submit(job)
        assert jobs.reports == [BEGUN]
        if cancelled:
            task.cancel()
        await asyncio.wait((task,))
        # what is called at a task's end is called in the order in which it was asked for
        await asyncio.sleep(0)

    asyncio.run(run())
    assert jobs.reports == [BEGUN, end]
