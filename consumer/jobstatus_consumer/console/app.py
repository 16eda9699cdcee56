"""The application: the routes behind the guard, and what becomes of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import Context
from jobstatus_consumer.console.guard import Guard
from jobstatus_consumer.console.rendering import as_json, render
from jobstatus_consumer.console.routes import ROUTES
from jobstatus_consumer.errors import JobStatusError

TITLES: Final = {
    400: "This cannot be asked",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed",
    408: "Too slow",
    409: "Nothing was changed",
    503: "No answer",
}


def make_app(context: Context) -> Guard:
    """Return the application; its watches run while it is served."""

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        context.live.start()
        tasks = [asyncio.create_task(work) for work in (context.live.record(), context.live.wake_after_silence())]
        try:
            yield
        finally:
            context.live.close()
            for task in tasks:
                task.cancel()
            context.questions.close()
            context.sources.close()

    app = Starlette(
        routes=ROUTES,
        exception_handlers={HTTPException: _refused, JobStatusError: _failed, Exception: _refused},
        lifespan=running,
    )
    app.state.context = context
    return Guard(app, context.access)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _problem(request, error.status_code, error.detail)
    return _problem(request, 500, "This is a fault of the console; its log says more.")


async def _failed(request: Request, error: Exception) -> Response:
    return _problem(request, 503, str(error))


def _problem(request: Request, code: int, detail: str) -> Response:
    if request.url.path.startswith("/api/"):
        return as_json({"error": detail}, code)
    return render(request, "problem.html", code, title=TITLES.get(code, "Something went wrong"), detail=detail)
