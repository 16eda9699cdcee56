"""The event: one report of what happened to one job. Its fields, their limits, and the checks of each."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any, Final, NamedTuple
from uuid import UUID

SCHEMA_VERSIONS: Final = ("v1",)
"""Every published version of the event's schema, oldest first; the fields below are those of the newest.

Each is a file `job_status_event.<version>.avsc`, which is never edited.
"""
MAX_JOB_ID_BYTES: Final = 512
MAX_STATUS_BYTES: Final = 64
MAX_WORKER_ID_BYTES: Final = 256
MAX_ERROR_MESSAGE_BYTES: Final = 16 * 1024
MAX_ATTEMPT: Final = 2**31 - 1
MIN_OCCURRED_AT: Final = 0
"""1970-01-01, in microseconds since then."""
MAX_OCCURRED_AT: Final = 7_258_118_400_000_000
"""2200-01-01 in microseconds: below 2**53, so that PostgreSQL's interval arithmetic is exact."""
CUT_MARK: Final = " […cut by jobstatus, {dropped} more characters]"
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_is_uuid: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


class JobStatusEvent(NamedTuple):
    """The fields of the Avro record `jobstatus.JobStatusEvent`, in the schema's order.

    `occurred_at` is in microseconds since 1970-01-01 UTC. No field is converted to a `datetime` or a `UUID`.
    """

    event_id: str
    job_id: str
    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: int


def check_job_id(job_id: object) -> str:
    """`job_id` as the text that is the Kafka key: `str`, `int` or `UUID`, 1 to 512 bytes of UTF-8, no NUL.

    Raises `TypeError` or `ValueError`. The message names the field and what is allowed, and never holds the value.
    """
    if type(job_id) is not str:
        if isinstance(job_id, bool) or not isinstance(job_id, str | int | UUID):
            raise TypeError(f"job_id: wanted str, int or UUID, got {type(job_id).__name__}")
        try:
            job_id = str(job_id)
        except ValueError:
            # Python writes no number of thousands of digits
            raise ValueError(f"job_id: too many digits; wanted 1 to {MAX_JOB_ID_BYTES} bytes of UTF-8") from None
    return _check_text("job_id", job_id, MAX_JOB_ID_BYTES)


def check_status(status: object, allowed: Container[str] | None = None) -> str:
    """`status` as text of 1 to 64 bytes, and one of `allowed` if that is given. Raises as `check_job_id` does."""
    if not isinstance(status, str):
        raise TypeError(f"status: wanted str, got {type(status).__name__}")
    text = _check_text("status", status, MAX_STATUS_BYTES)
    if allowed is not None and text not in allowed:
        names = ", ".join(sorted(allowed)) if isinstance(allowed, set | frozenset | tuple | list) else "the list"
        raise ValueError(f"status: not one of the allowed words ({names})")
    return text


def check_worker_id(worker_id: object) -> str | None:
    """`worker_id` as `None` or text of 1 to 256 bytes. Raises as `check_job_id` does."""
    if worker_id is None:
        return None
    if not isinstance(worker_id, str):
        raise TypeError(f"worker_id: wanted str or None, got {type(worker_id).__name__}")
    return _check_text("worker_id", worker_id, MAX_WORKER_ID_BYTES)


def check_attempt(attempt: object) -> int | None:
    """`attempt` as `None` or an int from 0 to 2**31 - 1. Raises as `check_job_id` does."""
    if attempt is None:
        return None
    if isinstance(attempt, bool) or not isinstance(attempt, int):
        raise TypeError(f"attempt: wanted int or None, got {type(attempt).__name__}")
    if not 0 <= attempt <= MAX_ATTEMPT:
        raise ValueError(f"attempt: wanted 0 to {MAX_ATTEMPT}")
    return int(attempt)


def check_event_id(event_id: object) -> str:
    """`event_id` as a UUID's canonical text. Raises as `check_job_id` does."""
    if not isinstance(event_id, str):
        raise TypeError(f"event_id: wanted str, got {type(event_id).__name__}")
    if not _is_uuid(event_id):
        raise ValueError("event_id: wanted a UUID in its canonical form of 36 characters")
    return event_id


def clean_error_message(error_message: Any) -> str | None:
    """`error_message` made storable. It is never refused, because callers are in `except` blocks.

    `None` stays. Anything else becomes its `str()`. NUL and lone surrogates are escaped visibly (`\\x00`, `\\ud800`). A
    text over 16 KiB of UTF-8 is cut, with a mark that says how much was cut. Cleaning a cleaned text changes nothing.
    """
    if error_message is None:
        return None
    text = error_message if type(error_message) is str else _text_of(error_message)
    if len(text) <= MAX_ERROR_MESSAGE_BYTES and text.isascii() and "\x00" not in text:
        return text
    text = _UNSTORABLE.sub(_escape, text)
    return text if len(text.encode()) <= MAX_ERROR_MESSAGE_BYTES else _cut(text)


def check_event(event: JobStatusEvent, allowed: Container[str] | None = None) -> JobStatusEvent:
    """A decoded event whose fields are all within their limits; its error message is cleaned.

    Another producer may have sent it. Raises `TypeError` or `ValueError`, which name the field and never its value.
    """
    event_id, job_id, status, error_message, attempt, worker_id, occurred_at = event
    check_job_id(job_id)
    check_status(status, allowed)
    check_attempt(attempt)
    check_worker_id(worker_id)
    check_event_id(event_id)
    if not MIN_OCCURRED_AT <= occurred_at < MAX_OCCURRED_AT:
        raise ValueError("occurred_at: wanted a time from 1970 to before 2200, in microseconds")
    if error_message is None:
        return event
    cleaned = clean_error_message(error_message)
    return event if cleaned == error_message else event._replace(error_message=cleaned)


def _check_text(field: str, text: str, max_bytes: int) -> str:
    if not text:
        raise ValueError(f"{field}: empty; wanted 1 to {max_bytes} bytes of UTF-8")
    if "\x00" in text:
        raise ValueError(f"{field}: holds a NUL character, which PostgreSQL cannot store")
    # an ASCII text has as many bytes as characters, so only other texts are encoded to be measured
    if len(text) > max_bytes or not text.isascii():
        size = _utf8_size(field, text)
        if size > max_bytes:
            raise ValueError(f"{field}: {size} bytes of UTF-8; wanted 1 to {max_bytes}")
    return text


def _utf8_size(field: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{field}: holds a lone surrogate, which is not UTF-8") from None


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a broken __str__ must not break the caller's except block
        return f"<{type(value).__name__} whose str() raised {type(error).__name__}>"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\\x00" if code == 0 else f"\\u{code:04x}"


def _cut(text: str) -> str:
    room = MAX_ERROR_MESSAGE_BYTES - len(CUT_MARK.format(dropped=len(text)).encode())
    kept = text.encode()[:room].decode(errors="ignore")
    return kept + CUT_MARK.format(dropped=len(text) - len(kept))
