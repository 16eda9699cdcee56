"""What the frameworks' modules share."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from jobstatus_producer.errors import ProducerClosedError
from jobstatus_producer.integrations.reporting import Reporter
from support.kept import Kept


class Closed:
    """A producer that accepts nothing."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def update_job_status(self, *_: object, **__: object) -> None:
        raise self._error

    async def aupdate_job_status(self, *_: object, **__: object) -> None:
        raise self._error

    def flush(self, _seconds: float) -> int:
        raise self._error


@pytest.mark.parametrize("error", [ProducerClosedError("closed"), ValueError("status: too long"), TypeError("job_id")])
def test_a_report_that_is_not_accepted_breaks_no_job(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    producer: Any = Closed(error)
    with caplog.at_level(logging.ERROR, "jobstatus.producer"):
        Reporter(producer).report("job", "success")
    assert str(error) in caplog.text


def test_a_flush_that_fails_breaks_no_job() -> None:
    producer: Any = Closed(ProducerClosedError("closed"))
    Reporter(producer).flush(1)


def test_the_words_may_be_others_and_none_reports_nothing() -> None:
    kept = Kept()
    producer: Any = kept
    reporter = Reporter(producer, {"success": "done", "pending": None})
    reporter.report("job", "pending", attempt=0)
    reporter.report("job", "success", attempt=1)
    reporter.report(None, "success")
    reporter.report("job", "error", OSError("no disk"), 1)
    assert kept.reports == [("job", "done", None, 1), ("job", "error", "OSError: no disk", 1)]
    with pytest.raises(ValueError, match="words: 'finished' is none of pending, processing"):
        Reporter(words={"finished": "done"})


def test_in_asyncio_a_report_is_the_same_and_breaks_no_job_either(caplog: pytest.LogCaptureFixture) -> None:
    kept, closed = Kept(), Closed(ProducerClosedError("closed"))
    producer: Any = kept
    asyncio.run(Reporter(producer, {"pending": None}).areport("job", "error", OSError("no disk"), 1))
    asyncio.run(Reporter(producer, {"pending": None}).areport("job", "pending"))
    asyncio.run(Reporter(producer).areport(None, "success"))
    assert kept.reports == [("job", "error", "OSError: no disk", 1)]
    broken: Any = closed
    with caplog.at_level(logging.ERROR, "jobstatus.producer"):
        asyncio.run(Reporter(broken).areport("job", "success"))
    assert "closed" in caplog.text
