"""The description of the JSON API, in OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.rendering import as_json
from jobstatus_consumer.operations import ACTIONS

Document = Mapping[str, Any]

TEXT: Final[Document] = {"type": "string"}
TIME: Final[Document] = {"type": ["string", "null"], "format": "date-time"}
NUMBER: Final[Document] = {"type": ["number", "null"]}
COUNT: Final[Document] = {"type": ["integer", "null"]}
MAYBE: Final[Document] = {"type": ["string", "null"]}
YES_NO: Final[Document] = {"type": ["boolean", "null"]}
OBJECT: Final[Document] = {"type": ["object", "null"]}
BY_NAME: Final[Document] = {"type": ["object", "null"], "additionalProperties": {"type": "integer"}}


async def api(_request: Request) -> Response:
    """`GET /api/openapi.json`."""
    return as_json(DOCUMENT)


def _of(**properties: Document) -> Document:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _list(item: Document) -> Document:
    return {"type": ["array", "null"], "items": item}


def _query(name: str, description: str) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": TEXT}


def _get(summary: str, answer: Document, codes: Mapping[int, str], parameters: Sequence[Document] = ()) -> Document:
    good = {"description": "The answer", "content": {"application/json": {"schema": answer}}}
    bad = {"application/json": {"schema": _of(error=TEXT)}}
    refused = {str(code): {"description": why, "content": bad} for code, why in codes.items()}
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": {"200": good, **refused}}}


def _post(summary: str, answers: Mapping[int, Document], codes: Mapping[int, str]) -> Document:
    def content(schema: Document) -> Document:
        return {"application/json": {"schema": schema}}

    good = {str(code): {"description": "The answer", "content": content(what)} for code, what in answers.items()}
    refused = {str(code): {"description": why, "content": content(_of(error=TEXT))} for code, why in codes.items()}
    body = {"required": True, "content": content(FIELDS)}
    return {
        "post": {
            "summary": summary,
            "parameters": [ACTION],
            "requestBody": body,
            "responses": {**good, **refused},
        }
    }


JOB: Final[Document] = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "The job's id, percent-encoded: a slash in it is %2F.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 512},
}
WAIT: Final = (
    _query("wait", "Answer when the job has one of these statuses, separated by commas."),
    _query("timeout", "Seconds after which `wait` ends with `reached: false`; 30 if not given."),
)
NOT_NOW: Final = {503: "Kafka or the database does not answer, or the answer is not there yet"}
STATE: Final = (
    "The state of a job: now, or when it has one of the wanted statuses; `reached` is there with `wait` alone"
)
STATE_ANSWER: Final[Document] = {
    "type": "object",
    "properties": {"job_id": TEXT, "status": MAYBE, "reached": {"type": "boolean"}},
    "required": ["job_id", "status"],
}

PARTITION: Final = _of(partition=COUNT, low=COUNT, high=COUNT, committed=COUNT, table=COUNT, lag=COUNT)
LINE: Final = _of(job_id=TEXT, status=MAYBE, attempt=COUNT, worker_id=MAYBE, error_message=MAYBE, latest=TIME)
STAY: Final = _of(status=TEXT, attempt=COUNT, worker_id=MAYBE, start=TIME, end=TIME)

FIELDS: Final[Document] = {
    "type": "object",
    "additionalProperties": TEXT,
    "description": "The fields of the action: "
    + "; ".join(f"{name}: {', '.join(fields)}" for name, (_, fields) in ACTIONS.items()),
}
ACTION: Final[Document] = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": list(ACTIONS)},
}
PLAN: Final = _of(
    action=TEXT, request=OBJECT, changes=COUNT, unit=TEXT, digest=TEXT, facts=OBJECT, examples=_list(TEXT)
)
ENTRY: Final = _of(
    id=COUNT, at=TIME, actor=TEXT, action=TEXT, plan=OBJECT, finished_at=TIME, outcome=MAYBE, result=OBJECT
)
NO_PLAN: Final = "The group has members, or the plan would be too long: `error` has the command to type"
NOT_ALLOWED: Final = "Started without --allow-actions, or a request of another site"

PATHS: Final[Mapping[str, Document]] = {
    "/api/audit": _get(
        "What operators have changed, the newest first; `next` is the `before` of the page after it, or null",
        _of(entries=_list(ENTRY), next=COUNT),
        {400: "`before` is no number", **NOT_NOW},
        [_query("before", "Only entries before this one, by its id")],
    ),
    "/api/actions/{name}/plan": _post(
        "What an action would change, with a digest; nothing is changed",
        {200: PLAN},
        {400: "A field is wrong", 403: NOT_ALLOWED, 404: "No such action", 409: NO_PLAN, **NOT_NOW},
    ),
    "/api/actions/{name}/apply": _post(
        "Apply exactly the plan with this digest: the fields of its `request`, and `digest`",
        {200: _of(running=YES_NO, result=OBJECT), 202: _of(running=YES_NO)},
        {
            400: "A field is wrong",
            403: NOT_ALLOWED,
            404: "No such action",
            409: "Anything else matches now (`plan` is the new plan), or another action runs; nothing was changed",
            503: "It failed, or it cannot be noted in the audit log",
        },
    ),
    "/api/overview": _get(
        "How far the table is behind the log, who reads, what is waited for; null stands for what is not known",
        _of(
            time=TIME,
            true_at=TIME,
            stale=_list(TEXT),
            database_clock_ahead_seconds=NUMBER,
            problems=_list(TEXT),
            group=TEXT,
            state=MAYBE,
            members=_list(OBJECT),
            lag=COUNT,
            lag_seconds=NUMBER,
            freshness_seconds=NUMBER,
            events_per_second=NUMBER,
            partitions=_list(PARTITION),
            last_write=TIME,
            rows=BY_NAME,
            rows_exact=YES_NO,
            rows_counted_at=TIME,
            rows_estimated=COUNT,
            open_dead_letters=COUNT,
            waiting_for=_list(TEXT),
        ),
        {},
    ),
    "/api/trends": _get(
        "The last 15 minutes, a point a second: each name has a column, also `partition N` for the busiest partitions",
        {"type": "object", "additionalProperties": _list(NUMBER)},
        {},
    ),
    "/api/jobs": _get(
        "A page of jobs; `next` is the path of the page after it, or null",
        _of(jobs=_list(LINE), searched=COUNT, next=MAYBE),
        {400: "A filter means nothing", **NOT_NOW},
        [
            _query("status", "Only jobs in this status"),
            _query("worker", "Only jobs of this worker"),
            _query("text", "Only jobs whose error message has this text, whatever its case"),
            _query("within", "Only jobs with news within this time, such as 15m"),
            _query("silent", "Only jobs without news for this time, such as 2h"),
            _query("order", "newest or id"),
        ],
    ),
    "/api/jobs/{job_id}": _get(STATE, STATE_ANSWER, {400: "No job's id", 404: "No row", **NOT_NOW}, [JOB, *WAIT]),
    "/api/job": _get(
        f"{STATE}. For ids that cannot stand in a path: `.` and `..`",
        STATE_ANSWER,
        {400: "No job's id", 404: "No row", **NOT_NOW},
        [_query("id", "The job's id"), *WAIT],
    ),
    "/api/jobs/{job_id}/history": _get(
        "The row, every event that was read and what became of it, and time in each status",
        _of(
            job_id=TEXT,
            row=OBJECT,
            purged_at=TIME,
            events=_list(OBJECT),
            stays=_list(STAY),
            unread=_list(OBJECT),
            remarks=_list(TEXT),
            trouble=_list(TEXT),
        ),
        {400: "No job's id", 404: "Neither a row nor an event", **NOT_NOW},
        [JOB, _query("read", "`more` reads more of the log, and takes longer")],
    ),
    "/api/stuck": _get(
        "The jobs that have been silent for longer than the deadline of their status",
        _of(read_at=TIME, deadlines=BY_NAME, counts=BY_NAME, jobs=_list(OBJECT)),
        NOT_NOW,
    ),
    "/api/dead-letters": _get(
        "The dead letters by cause", _of(read_at=TIME, complete=YES_NO, open=COUNT, causes=_list(OBJECT)), NOT_NOW
    ),
    "/api/verify": _get(
        "The newest comparison of the table with the log; `right` is null before the first one",
        {
            "type": "object",
            "properties": {
                "every": COUNT,
                "compared_at": TIME,
                "right": YES_NO,
                "problem": MAYBE,
                "events": COUNT,
                "seconds": NUMBER,
                "findings": BY_NAME,
                "explained": BY_NAME,
                "named": OBJECT,
            },
            "required": ["every", "compared_at", "right", "problem"],
        },
        {},
    ),
}
DOCUMENT: Final[Document] = {
    "openapi": "3.1.0",
    "info": {
        "title": "The console of jobstatus",
        "version": version("jobstatus"),
        "description": "Times are RFC 3339 in UTC. Every answer but 200 has a JSON document with `error`.",
    },
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "security": [{}, {"token": []}],
    "paths": PATHS,
}
