"""arq's hooks, where Redis fails in the middle of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from arq import ArqRedis, Retry
from jobstatus_producer.integrations.arq import report_jobs
from support.kept import Kept


def test_a_redis_that_is_unreachable_at_the_end_of_a_job_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def job(_ctx: dict[Any, Any]) -> None:
        raise Retry

    kept = Kept()

    async def run() -> None:
        settings: Any = type("WorkerSettings", (), {"functions": [job]})
        report_jobs(kept)(settings)  # type: ignore[arg-type]
        redis = ArqRedis(host="127.0.0.1", port=1)
        ctx = {"job_id": "job-1", "job_try": 1, "redis": redis}
        with pytest.raises(Retry):
            await settings.functions[0].coroutine(ctx)
        await settings.after_job_end(ctx)
        await redis.aclose()

    with caplog.at_level(logging.ERROR, "jobstatus.producer"):
        asyncio.run(run())
    assert [report[:2] for report in kept.reports] == [("job-1", "error")]
    assert "ConnectionError" in caplog.text
