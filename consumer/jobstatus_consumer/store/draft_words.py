"""The names that tables of jobs give to their columns and statuses, the most telling first."""

from __future__ import annotations

from typing import Final

USUAL_WORDS: Final = ("pending", "processing", "success", "error")
SYNONYMS: Final = (
    (
        "pending",
        "new",
        "queued",
        "created",
        "todo",
        "waiting",
        "available",
        "enqueued",
        "submitted",
        "ready",
        "scheduled",
    ),
    (
        "processing",
        "running",
        "in_progress",
        "inprogress",
        "started",
        "active",
        "executing",
        "doing",
        "busy",
        "working",
    ),
    ("success", "succeeded", "successful", "done", "completed", "complete", "finished", "ok"),
    ("error", "failed", "failure", "errored", "fail", "discarded"),
)
"""Words for the same: what has not begun, what runs, what went well, and what did not."""
GIVEN_UP: Final = ("cancelled", "canceled", "aborted", "revoked", "removed")
JOB_IDS: Final = ("job_id", "jobid", "job_uuid", "job_key", "task_id", "task_uuid", "run_id")
STATUS: Final = ("status", "state", "job_status", "job_state", "task_status", "task_state", "current_status")
ERROR: Final = (
    "error_message",
    "error",
    "last_error",
    "last_error_message",
    "error_text",
    "error_msg",
    "failure_reason",
    "failure_message",
    "exception",
    "traceback",
)
ATTEMPT: Final = ("attempt", "attempts", "attempt_count", "attempt_number", "tries", "try_number", "try_count")
WORKER: Final = ("worker_id", "worker_name", "worker")
STARTED: Final = (
    "started_at",
    "started",
    "started_on",
    "start_time",
    "start_date",
    "date_started",
    "begun_at",
    "attempted_at",
)
FINISHED: Final = (
    "finished_at",
    "finished",
    "finished_on",
    "ended_at",
    "end_time",
    "end_date",
    "completed_at",
    "completed_on",
    "finalized_at",
    "done_at",
    "date_done",
    "stopped_at",
    "stopped",
)
UPDATED: Final = (
    "updated_at",
    "updated_on",
    "updated",
    "modified_at",
    "modified",
    "last_updated",
    "last_modified",
    "date_updated",
    "date_modified",
    "update_time",
)
