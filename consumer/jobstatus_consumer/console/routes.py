"""Every path of the console. A path is matched as it was sent, so `{job_id}` is percent-encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from jobstatus_consumer.console.pages import login, overview

ROUTES: Final[tuple[BaseRoute, ...]] = (
    Route("/", overview.page),
    Route("/login", login.page, methods=["GET"]),
    Route("/login", login.submit, methods=["POST"]),
    Route("/api/overview", overview.api),
    Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
)
