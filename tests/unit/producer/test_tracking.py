"""`track` says what became of the job and keeps out of its way."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest
from jobstatus_producer.errors import ProducerClosedError
from jobstatus_producer.tracking import STATUSES, Statuses, Track, check_statuses, describe
from support.tracking import BEGUN, DONE, Jobs

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


@pytest.mark.parametrize("code", [None, 0, False])
def test_an_exit_that_says_all_went_well_is_a_success(code: int | None) -> None:
    jobs = Jobs()
    with pytest.raises(SystemExit), jobs.track("j"):
        sys.exit(code)
    assert jobs.reports == [BEGUN, DONE]


@pytest.mark.parametrize("code", [1, "no input", ""])
def test_another_exit_is_an_error(code: int | str) -> None:
    jobs = Jobs()
    with pytest.raises(SystemExit), jobs.track("j"):
        sys.exit(code)
    assert [status for status, _ in jobs.reports] == ["processing", "error"]


def test_a_word_that_is_not_allowed_does_not_hide_the_jobs_own_error() -> None:
    def report(status: str, error_message: object = None) -> None:
        if status == "error":
            raise ValueError("status: not one of the allowed words")

    with pytest.raises(KeyError) as caught, Track(report, STATUSES):
        raise KeyError("the job's own")
    (note,) = caught.value.__notes__
    assert note == "jobstatus: the job's status was not accepted: status: not one of the allowed words"


def test_every_word_that_no_report_may_use_is_named_at_once() -> None:
    check_statuses(STATUSES, None)
    check_statuses(STATUSES, frozenset(STATUSES))
    with pytest.raises(ValueError, match=r"^done='success', failed='error': status: not one of .* \(processing\)$"):
        check_statuses(STATUSES, frozenset(["processing"]))
    with pytest.raises(ValueError, match=r"^begun='': status: empty"):
        check_statuses(Statuses(begun=""), None)
    with pytest.raises(TypeError, match=r"^failed=3: status: wanted str"):
        check_statuses(Statuses(failed=3), None)  # type: ignore[arg-type]
