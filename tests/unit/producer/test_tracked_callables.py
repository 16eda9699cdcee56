"""`tracked` finds the job in the arguments of whatever can be called."""

from __future__ import annotations

import asyncio
import functools

import pytest
from jobstatus_producer.tracking import tracked
from support.tracking import BEGUN, DONE, Jobs


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def test_a_decorated_function_is_tracked_by_the_argument_that_names_the_job(jobs: Jobs) -> None:

    @tracked(jobs.track, "job_id")
    def convert(path: str, job_id: int = 7) -> str:
        """Convert."""
        return path.upper()

    assert convert("a") == "A"
    assert convert("b", job_id=8) == "B"
    assert convert("c", 9) == "C"
    assert jobs.attempts == [(7, None), (8, None), (9, None)]
    assert jobs.reports == [BEGUN, DONE] * 3
    assert (convert.__name__, convert.__doc__) == ("convert", "Convert.")


def test_a_decorated_coroutine_is_tracked_until_it_ends(jobs: Jobs) -> None:
    @tracked(jobs.track, "job_id")
    async def convert(job_id: str) -> str:
        await asyncio.sleep(0)
        assert jobs.reports == [BEGUN]
        return job_id

    assert asyncio.run(convert("j")) == "j"
    assert jobs.reports == [BEGUN, DONE]


def test_a_function_without_that_argument_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(TypeError, match=r"^f\(\) has no argument 'job_id'"):

        @tracked(Jobs().track, "job_id")
        def f(other: int) -> None:
            """Never called."""


def test_an_object_with_an_asynchronous_call_is_tracked_until_it_ends(jobs: Jobs) -> None:
    class Convert:
        async def __call__(self, job_id: str) -> str:
            await asyncio.sleep(0)
            assert jobs.reports == [BEGUN]
            return job_id

    for convert in (Convert(), functools.partial(Convert())):
        jobs.reports.clear()
        assert asyncio.run(tracked(jobs.track, "job_id")(convert)("j")) == "j"
        assert jobs.reports == [BEGUN, DONE]


def test_a_class_is_tracked_as_it_is_made_whatever_its_objects_do_when_called(jobs: Jobs) -> None:
    class Convert:
        def __init__(self, job_id: str) -> None:
            self.job_id = job_id

        async def __call__(self) -> None:
            """Not what is tracked."""

    assert tracked(jobs.track, "job_id")(Convert)("j").job_id == "j"
    assert jobs.reports == [BEGUN, DONE]


def test_a_partial_is_tracked_like_its_function(jobs: Jobs) -> None:
    def convert(path: str, job_id: str) -> str:
        return path + job_id

    assert tracked(jobs.track, "job_id")(functools.partial(convert, "a"))("j") == "aj"
    assert jobs.attempts == [("j", None)]
    with pytest.raises(TypeError, match=r"^convert\(\) has no argument 'job_id' that could name the job$"):
        tracked(jobs.track, "job_id")(functools.partial(convert, "a", "j"))


def test_an_attempt_is_one_for_all_calls_or_the_argument_that_has_it(jobs: Jobs) -> None:
    def convert(job_id: str, tries: int | None = None) -> None:
        """Nothing to do."""

    tracked(jobs.track, "job_id", 3)(convert)("a")
    tracked(jobs.track, "job_id", "tries")(convert)("b", 4)
    tracked(jobs.track, "job_id", "tries")(convert)("c")
    assert jobs.attempts == [("a", 3), ("b", 4), ("c", None)]
    with pytest.raises(TypeError, match=r"^convert\(\) has no argument 'attempt' that could name its attempt$"):
        tracked(jobs.track, "job_id", "attempt")(convert)
