"""`track` and `tracked` say what became of the job and keep out of its way."""

from __future__ import annotations

import asyncio
import logging

import pytest
from jobstatus_producer.errors import ProducerClosedError
from jobstatus_producer.tracking import STATUSES, Statuses, Track, describe, tracked

Reports = list[tuple[str, object]]


def track_into(reports: Reports, statuses: Statuses = STATUSES) -> Track:
    def report(status: str, error_message: object = None) -> None:
        reports.append((status, error_message))

    return Track(report, statuses)


def test_a_job_that_ends_is_a_success() -> None:
    reports: Reports = []
    with track_into(reports):
        assert reports == [("processing", None)]
    assert reports == [("processing", None), ("success", None)]


@pytest.mark.parametrize("error", [ValueError("no such file"), KeyboardInterrupt(), SystemExit(3)])
def test_a_job_that_raises_is_an_error_and_the_exception_goes_on(error: BaseException) -> None:
    reports: Reports = []
    with pytest.raises(type(error)) as caught, track_into(reports):
        raise error
    assert caught.value is error
    assert reports == [("processing", None), ("error", describe(error))]


def test_the_applications_own_words() -> None:
    reports: Reports = []
    with track_into(reports, Statuses("begun", "done", "failed")):
        pass
    assert [status for status, _ in reports] == ["begun", "done"]


def test_a_report_that_fails_does_not_hide_the_jobs_own_error(caplog: pytest.LogCaptureFixture) -> None:
    def report(status: str, error_message: object = None) -> None:
        if status == "error":
            raise ProducerClosedError("closed")

    with pytest.raises(ValueError, match="the job's own") as caught, Track(report, STATUSES):
        raise ValueError("the job's own")
    assert caught.value.__notes__ == ["jobstatus: the job's status was not accepted: closed"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_success_that_cannot_be_reported_raises() -> None:
    def report(status: str, error_message: object = None) -> None:
        if status == "success":
            raise ProducerClosedError("closed")

    with pytest.raises(ProducerClosedError), Track(report, STATUSES):
        pass


def test_an_error_is_described_by_type_and_text() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe(ValueError("x")) == "ValueError: x"
    assert describe(TimeoutError()) == "TimeoutError"
    assert describe(MuteError()) == "MuteError: <its str() raised RuntimeError>"


def test_async_with_reports_the_same() -> None:
    reports: Reports = []

    async def job() -> None:
        async with track_into(reports):
            await asyncio.sleep(0)

    asyncio.run(job())
    assert [status for status, _ in reports] == ["processing", "success"]


class Jobs:
    """`JobStatusProducer.tracked` without a producer."""

    def __init__(self) -> None:
        self.reports: list[tuple[object, str]] = []

    def track(self, job_id: object) -> Track:
        def report(status: str, error_message: object = None) -> None:
            self.reports.append((job_id, status))

        return Track(report, STATUSES)


def test_a_decorated_function_is_tracked_by_the_argument_that_names_the_job() -> None:
    jobs = Jobs()

    @tracked(jobs.track, "job_id")
    def convert(path: str, job_id: int = 7) -> str:
        """Convert."""
        return path.upper()

    assert convert("a") == "A"
    assert convert("b", job_id=8) == "B"
    assert convert("c", 9) == "C"
    assert [job for job, status in jobs.reports if status == "success"] == [7, 8, 9]
    assert (convert.__name__, convert.__doc__) == ("convert", "Convert.")


def test_a_decorated_coroutine_is_tracked_until_it_ends() -> None:
    jobs = Jobs()

    @tracked(jobs.track, "job_id")
    async def convert(job_id: str) -> str:
        await asyncio.sleep(0)
        assert jobs.reports == [("j", "processing")]
        return job_id

    assert asyncio.run(convert("j")) == "j"
    assert jobs.reports == [("j", "processing"), ("j", "success")]


def test_a_function_without_that_argument_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(TypeError, match=r"^f\(\) has no argument 'job_id'"):

        @tracked(Jobs().track, "job_id")
        def f(other: int) -> None:
            """Never called."""
