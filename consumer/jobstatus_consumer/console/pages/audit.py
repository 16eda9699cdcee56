"""The audit log: what operators have changed, the newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import context_of
from jobstatus_consumer.console.rendering import as_json, iso, render
from jobstatus_consumer.errors import DeploymentError
from jobstatus_consumer.store import AuditEntry, AuditTable, open_read_only
from jobstatus_consumer.words import escaped

ROWS: Final = 50
ANSWER_SECONDS: Final = 2.0


async def page(request: Request) -> Response:
    """`GET /audit`, and `?before=` an entry's number."""
    try:
        entries, trouble = await _entries(request), ""
    except DeploymentError as error:
        entries, trouble = [], str(error)
    shown = [_shown(entry) for entry in entries[:ROWS]]
    older = entries[ROWS - 1].id if len(entries) > ROWS else None
    return render(request, "audit.html", title="Audit", entries=shown, older=older, trouble=trouble)


async def api(request: Request) -> Response:
    """`GET /api/audit`, and `?before=`; `next` is null at the end."""
    entries = await _entries(request)
    older = entries[ROWS - 1].id if len(entries) > ROWS else None
    return as_json({"entries": [_as_dict(entry) for entry in entries[:ROWS]], "next": older})


async def _entries(request: Request) -> list[AuditEntry]:
    before = request.query_params.get("before")
    if before is not None and (not before.isdecimal() or len(before) > 18):
        raise HTTPException(400, "before: wanted the number of an entry")
    context = context_of(request)

    def read() -> list[AuditEntry]:
        with AuditTable(context.settings.database, context.settings.table, opener=open_read_only) as audit:
            return audit.latest(ROWS + 1, None if before is None else int(before))

    return await context.questions.ask(read, ANSWER_SECONDS)


def _shown(entry: AuditEntry) -> tuple[AuditEntry, str, str, str]:
    """The entry, and as a person reads them: its time, its plan, its result."""
    at = (iso(entry.at) or "")[:19].replace("T", " ")
    return entry, at, _document(entry.plan), _document(entry.result) if entry.result else ""


def _document(value: Mapping[str, Any]) -> str:
    return escaped(json.dumps(value, indent=1, ensure_ascii=False), lines=True)


def _as_dict(entry: AuditEntry) -> dict[str, Any]:
    return {**entry._asdict(), "at": iso(entry.at), "finished_at": iso(entry.finished_at)}
