"""What a process manager asks: whether this process still answers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


async def livez(_request: Request) -> Response:
    """`GET /livez`, for everybody: code 200. Neither Kafka nor the database is asked."""
    return PlainTextResponse("ok\n")
