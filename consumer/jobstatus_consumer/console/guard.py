"""The outermost part of the application: what each request must satisfy, and what each answer carries."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobstatus_consumer.console.access import Access

logger = logging.getLogger("jobstatus.console")

LARGEST_BODY: Final = 65_536
"""Bytes of a request's body; a form of ours has a few hundred."""
STEP_SECONDS: Final = 10.0
"""How long the client may take for its whole body, or to take the next piece of an answer."""
SAFE: Final = ("GET", "HEAD")
OPEN: Final = ("/login", "/livez", "/static/")
"""Paths for which nobody has to log in."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses foreign hosts, foreign pages, large bodies and users who have not logged in; an ASGI middleware.

    The path is matched as it was sent, percent-encoded: a job id may have slashes. `scope["state"]["user"]` is the
    user's name.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = scope["raw_path"].decode("ascii", "replace")
        answer = _Answer(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        try:
            await self._app(scope, _Body(receive), answer)
        except TimeoutError:
            logger.debug("a client was too slow; its connection is closed")
        except Exception:
            logger.exception("the request for %s failed", scope["path"])

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._access.allows_host(host):
            return _refused(
                403, f"this console does not answer for the host {host!r}; name it in JOBSTATUS_CONSOLE_HOSTS"
            )
        origin = headers.get("origin")
        if origin is not None and not self._access.allows_origin(origin, host):
            return _refused(403, "a page of another origin may not ask this console")
        if headers.get("sec-fetch-site", "none") == "cross-site" and scope["method"] not in SAFE:
            return _refused(403, "a page of another site may not ask this console")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return _refused(413, f"a request may have {LARGEST_BODY} bytes")
        return self._without_login(scope, headers)

    def _without_login(self, scope: Scope, headers: Headers) -> Response | None:
        user = self._access.user_of(headers, _cookies(headers.get("cookie", "")))
        scope.setdefault("state", {})["user"] = user
        path = scope["path"]
        if user is not None or path.startswith(OPEN):
            return None
        wants_page = scope["method"] in SAFE and "text/html" in headers.get("accept", "")
        if wants_page and self._access.token:
            scope["path"] = "/login"  # the page that asks for the token is the answer, with code 401
            return None
        return _refused(401, f"log in first: {self._access.how_to_log_in}", {"WWW-Authenticate": "Bearer"})


class _Body:
    """The body of a request, bounded in bytes and in time; code 408 if it takes too long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0
        self._ended = False
        self._deadline = time.monotonic() + STEP_SECONDS

    async def __call__(self) -> Message:
        if self._ended:
            return await self._receive()  # the end of the connection, for which a stream waits without a limit
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            raise HTTPException(408, f"the body of a request may take {STEP_SECONDS:g} s") from None
        self._bytes += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return {"type": "http.disconnect"} if self._bytes > LARGEST_BODY else message


class _Answer:
    """The answer with our headers. A client that does not take it in time loses its connection."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await asyncio.wait_for(self._send(message), STEP_SECONDS)


def user_of(request: Request) -> str | None:
    """Return the user's name; None if nobody has logged in."""
    found: str | None = request.scope["state"]["user"]
    return found


def _cookies(text: str) -> dict[str, str]:
    try:
        return {name: item.value for name, item in SimpleCookie(text).items()}
    except CookieError:
        return {}


def _refused(code: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": why}, code, headers)
