"""Who is in the group, with which partitions, and what keeps a write waiting."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.rendering import render


async def page(request: Request) -> Response:
    """`GET /consumers`. Its JSON is that of the overview."""
    return render(request, "consumers.html", title="Consumers")
