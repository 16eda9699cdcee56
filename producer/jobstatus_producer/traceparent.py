"""The W3C trace context that goes out in an event's header."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Final

TRACEPARENT: Final[ContextVar[str | None]] = ContextVar("jobstatus_traceparent", default=None)
"""Set it to the `traceparent` of the current work: events reported in this context carry it in their header."""

_VALID: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)
MAX_LENGTH: Final = 512


def valid(traceparent: object) -> str | None:
    """Return `traceparent` if it is well formed, else None: a broken trace must not stop a report."""
    # other code may have set anything: bytes, or undecodable characters of an environment variable
    if not isinstance(traceparent, str) or not traceparent.isascii():
        return None
    return traceparent if len(traceparent) <= MAX_LENGTH and _VALID.fullmatch(traceparent) else None
