"""Streams of server-sent events: the moving part of a page, about once a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.rendering import html
from jobstatus_consumer.console.trends import columns

LIVE: Final = {"overview": "overview_live.html", "consumers": "consumers_live.html"}
"""The pages that move, and the template of the part that does."""
STREAMS: Final = 500


async def stream(request: Request) -> Response:
    """`GET /stream/{name}`."""
    name = request.path_params["name"]
    if name not in LIVE:
        raise HTTPException(404, "there is no such stream")
    context = context_of(request)
    if context.live.streams >= STREAMS:
        raise HTTPException(503, f"{STREAMS} pages are open already; close one")
    return StreamingResponse(_events(request, context, name), media_type="text/event-stream")


async def trends_api(request: Request) -> Response:
    """`GET /api/trends`."""
    live = context_of(request).live
    made = live.shared("trends", lambda: orjson.dumps(columns(list(live.trends.points))))
    return Response(made, media_type="application/json")


async def _events(request: Request, context: Context, name: str) -> AsyncIterator[bytes]:
    live = context.live
    live.streams += 1
    try:
        yield b"retry: 2000\n\n"
        while not live.ended:
            yield live.shared(name, lambda: _event(request, name))
            await live.next_change()
    finally:
        live.streams -= 1


def _event(request: Request, name: str) -> bytes:
    """One event. All who look at a page get the same bytes, which are made once."""
    text = html(request, LIVE[name])
    return b"data: " + orjson.dumps({"html": text}) + b"\n\n"
