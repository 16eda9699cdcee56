"""The page that asks for the token, and the cookie that remembers that it was typed."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobstatus_consumer.console.access import COOKIE
from jobstatus_consumer.console.context import context_of
from jobstatus_consumer.console.guard import user_of
from jobstatus_consumer.console.rendering import render


async def page(request: Request) -> Response:
    """`GET /login`, and every page for a user who has not logged in: code 401 with the form."""
    if user_of(request) is not None:
        return RedirectResponse("/", 303)
    return render(request, "login.html", 401, title="Log in", wrong=False)


async def submit(request: Request) -> Response:
    """`POST /login`: the right token gets the cookie."""
    access = context_of(request).access
    given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
    if not access.token or not access.is_token(given):
        return render(request, "login.html", 401, title="Log in", wrong=True)
    answer = RedirectResponse("/", 303)
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    answer.set_cookie(COOKIE, access.cookie, httponly=True, samesite="strict", secure=secure, path="/")
    return answer
