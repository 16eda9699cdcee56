"""What a request's path and query say."""

from __future__ import annotations

from urllib.parse import unquote

from jobstatus_schemas.event import check_job_id
from starlette.exceptions import HTTPException
from starlette.requests import Request


def job_of(request: Request) -> str:
    """Return the job's id of a request; raises `HTTPException` 400 for a text that is no job's id."""
    try:
        encoded = request.path_params.get("job_id")
        job_id = request.query_params.get("id", "") if encoded is None else unquote(encoded, errors="strict")
        return check_job_id(job_id)
    except UnicodeDecodeError:
        raise HTTPException(400, "job_id: not UTF-8 in percent-encoding") from None
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
