"""Starlette and FastAPI: a lifespan that makes the producer and flushes it, and a dependency that hands it over.

    from jobstatus_producer.integrations.starlette import jobs, reports
    app = FastAPI(lifespan=reports())

    @app.post("/orders/{order}")
    async def start(order: str, jobs: Annotated[JobStatusProducer, Depends(jobs)]) -> None: ...

A request is not a job, so nothing is reported by itself: handlers and background tasks report with the producer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from starlette.requests import HTTPConnection

from jobstatus_producer.client import JobStatusProducer
from jobstatus_producer.functions import default_producer
from jobstatus_producer.integrations.reporting import Reporter

FLUSH_SECONDS: Final = 10.0
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""What `Starlette(lifespan=...)` and `FastAPI(lifespan=...)` take."""
_STATE: Final = "jobstatus_producer"


def reports(
    inner: Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
    producer: JobStatusProducer | None = None,
    *,
    flush_seconds: float = FLUSH_SECONDS,
) -> Lifespan:
    """A lifespan that opens the producer in the process that serves, and flushes it after the last request.

    Without `producer` it is the one of `update_job_status`; a wrong setting then stops the start of the server. `inner`
    is a lifespan of your own, which runs inside this one. The flush takes `flush_seconds` at most and raises nothing:
    what is not delivered by then is delivered, spooled or logged at the end of the process.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        # in the main thread, where signals can be handled; nothing is served yet
        opened = producer or default_producer()
        try:
            if inner is None:
                yield {_STATE: opened}
            else:
                async with inner(app) as state:
                    yield {**(state or {}), _STATE: opened}
        finally:
            await asyncio.to_thread(Reporter(opened).flush, flush_seconds)

    return lifespan


def jobs(connection: HTTPConnection) -> JobStatusProducer:
    """The producer of the lifespan, for a request or a web socket; in FastAPI as `Depends(jobs)`.

    In a coroutine report with `aupdate_job_status`, which never blocks the event loop. Raises `RuntimeError` if the
    application was started without the lifespan.
    """
    found = getattr(connection.state, _STATE, None)
    if not isinstance(found, JobStatusProducer):
        raise RuntimeError(
            "jobstatus: this application has no producer, because it was started without its lifespan. "
            "Make it with lifespan=jobstatus_producer.integrations.starlette.reports()"
        )
    return found
