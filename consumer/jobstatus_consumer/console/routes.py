"""Every path of the console. A path is matched as it was sent, so `{job_id}` is percent-encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from jobstatus_consumer.console.pages import (
    actions,
    audit,
    consumers,
    dead_letters,
    job,
    jobs,
    livez,
    login,
    metrics,
    openapi,
    overview,
    state,
    stream,
    stuck,
    verify,
)

ROUTES: Final[tuple[BaseRoute, ...]] = (
    Route("/", overview.page),
    Route("/jobs", jobs.page),
    Route("/jobs/{job_id}", job.page),
    Route("/job", job.page),
    Route("/stuck", stuck.page),
    Route("/dead-letters", dead_letters.page),
    Route("/dead-letters/{partition}/{offset}", dead_letters.one),
    Route("/consumers", consumers.page),
    Route("/verify", verify.page),
    Route("/stream/{name}", stream.stream),
    Route("/login", login.page, methods=["GET"]),
    Route("/login", login.submit, methods=["POST"]),
    Route("/livez", livez.livez),
    Route("/metrics", metrics.metrics),
    Route("/audit", audit.page),
    Route("/actions", actions.page),
    Route("/actions/{name}/plan", actions.plan_page, methods=["POST"]),
    Route("/actions/{name}/apply", actions.apply_page, methods=["POST"]),
    Route("/api/audit", audit.api),
    Route("/api/actions/{name}/plan", actions.plan_api, methods=["POST"]),
    Route("/api/actions/{name}/apply", actions.apply_api, methods=["POST"]),
    Route("/api/overview", overview.api),
    Route("/api/openapi.json", openapi.api),
    Route("/api/trends", stream.trends_api),
    Route("/api/jobs", jobs.api),
    Route("/api/jobs/{job_id}/history", job.history_api),
    Route("/api/stuck", stuck.api),
    Route("/api/dead-letters", dead_letters.api),
    Route("/api/verify", verify.api),
    Route("/api/jobs/{job_id}", state.api),
    Route("/api/job", state.api),
    Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
)
