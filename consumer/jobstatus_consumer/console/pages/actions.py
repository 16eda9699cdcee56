"""Forms, plans and their application; for programs as JSON. Only with `--allow-actions`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.guard import user_of
from jobstatus_consumer.console.rendering import as_json, render
from jobstatus_consumer.errors import PlanChangedError, SettingsError, StartError
from jobstatus_consumer.operations import ACTIONS, MOST_OFFSETS, ActionPlan

PLAN_SECONDS: Final = 60.0
APPLY_SECONDS: Final = 5.0
"""How long an answer waits for the end of an action; a longer one goes on, and the audit log shows it."""
MOST_FIELDS: Final = 20
DIGEST: Final = "digest"


async def page(request: Request) -> Response:
    """`GET /actions`: a form for each action."""
    _refuse_unless_allowed(request)
    return render(request, "actions.html", title="Actions", most_offsets=MOST_OFFSETS)


async def plan_page(request: Request) -> Response:
    """`POST /actions/{name}/plan`: what would change, with a button that applies exactly that."""
    name, given = await _asked(request)
    plan = await _planned(context_of(request), name, given)
    return render(request, "plan.html", title=f"Plan: {plan.action}", name=name, plan=plan, changed="")


async def apply_page(request: Request) -> Response:
    """`POST /actions/{name}/apply`: leads to the audit log; 409 with the new plan if anything else matches now."""
    name, given = await _asked(request)
    digest = _digest(given)
    try:
        await _applied(request, name, given, digest)
    except PlanChangedError as error:
        values = {"name": name, "plan": error.plan, "changed": str(error)}
        return render(request, "plan.html", 409, title="The plan has changed", **values)
    return RedirectResponse("/audit", 303)


async def plan_api(request: Request) -> Response:
    """`POST /api/actions/{name}/plan`: a JSON object with the fields; the answer is the plan with its digest."""
    name, given = await _asked(request)
    return as_json((await _planned(context_of(request), name, given)).as_dict())


async def apply_api(request: Request) -> Response:
    """`POST /api/actions/{name}/apply`: the fields of the plan's `request`, and `digest`.

    200 with the result; 202 if it goes on for longer; 409 with the new plan if anything else matches now.
    """
    name, given = await _asked(request)
    digest = _digest(given)
    try:
        result = await _applied(request, name, given, digest)
    except PlanChangedError as error:
        plan = error.plan.as_dict() if isinstance(error.plan, ActionPlan) else None
        return as_json({"error": str(error), "plan": plan}, 409)
    return as_json({"running": True}, 202) if result is None else as_json({"running": False, "result": result})


async def _asked(request: Request) -> tuple[str, dict[str, str]]:
    """The action's name and the fields of the body: a form, or a JSON object of texts."""
    _refuse_unless_allowed(request)
    _refuse_other_sites(request)
    name = request.path_params["name"]
    if name not in ACTIONS:
        raise HTTPException(404, f"there is no such action; there are {', '.join(ACTIONS)}")
    body = await request.body()
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            given = orjson.loads(body)
        else:
            given = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise HTTPException(400, "the body is neither a form nor JSON") from None
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise HTTPException(400, "wanted an object whose fields are texts")
    return name, given


def _refuse_unless_allowed(request: Request) -> None:
    if not context_of(request).options.allow_actions:
        raise HTTPException(403, "this console only reads; start it with --allow-actions to let users change something")


def _refuse_other_sites(request: Request) -> None:
    """The guard refuses a foreign Origin; here a browser that names no origin at all is refused, too."""
    headers = request.headers
    ours = "origin" in headers or headers.get("sec-fetch-site") == "same-origin"
    if not ours and not headers.get("authorization", "").lower().startswith("bearer "):
        raise HTTPException(403, "a change needs the header Origin of this console, or Authorization: Bearer")


def _digest(given: dict[str, str]) -> str:
    digest = given.pop(DIGEST, "")
    if not digest:
        raise HTTPException(400, "digest: give that of the plan; make a plan first")
    return digest


async def _planned(context: Context, name: str, given: Mapping[str, str]) -> ActionPlan:
    try:
        return await context.questions.ask(lambda: context.actions.plan(name, given), PLAN_SECONDS)
    except SettingsError as error:
        raise HTTPException(400, str(error)) from None
    except StartError as error:
        raise HTTPException(409, str(error)) from None


async def _applied(request: Request, name: str, given: Mapping[str, str], digest: str) -> Mapping[str, Any] | None:
    """What was done; None if it goes on for longer than the answer waits."""
    try:
        done = asyncio.wrap_future(context_of(request).actions.apply(name, given, digest, user_of(request) or "?"))
        return await asyncio.wait_for(asyncio.shield(done), APPLY_SECONDS)
    except SettingsError as error:
        raise HTTPException(400, str(error)) from None
    except StartError as error:
        raise HTTPException(409, str(error)) from None
    except TimeoutError:
        done.add_done_callback(lambda ended: ended.exception())  # the audit log has it
        return None
