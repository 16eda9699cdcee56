"""Ten tables of nine job libraries: what the application has in a row, and what it holds after a job's history."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jobstatus_consumer.records import Event
from law.events import event, saying

ROOT = Path(__file__).resolve().parents[4]
FOLDER = ROOT / "docs" / "examples" / "targets"
UUID = "0c5a7b1e-8d0f-4a52-9e39-5f2f5d3c1a77"
STEPS = (
    ("pending", None, None, None),
    ("processing", 1, "w-1", None),
    ("error", 1, "w-1", "disk full"),
    ("processing", 2, "w-2", None),
    ("success", 2, "w-2", None),
)
AFTER_ERROR = 3


class Schema(NamedTuple):
    """One table. `failed` and `done` are the mapped columns after the error and after the last step."""

    name: str
    row: str
    job_id: str
    failed: Mapping[str, Any]
    done: Mapping[str, Any]
    wrong: tuple[str, str] | None
    """a word that the table refuses, with the SQLSTATE; None where it takes every word"""

    @property
    def ddl(self) -> str:
        return (FOLDER / self.name / "table.sql").read_text("utf-8")

    @property
    def target(self) -> Path:
        return FOLDER / self.name / "target.toml"

    @property
    def table(self) -> str:
        return self.row.split()[2]

    def history(self) -> list[Event]:
        return [
            saying(event(self.job_id, step, attempt=attempt, time=step * 1_000_000), **fields)
            for step, (status, attempt, worker, message) in enumerate(STEPS)
            for fields in [{"status": status, "worker_id": worker, "error_message": message}]
        ]

    def refused(self) -> Event:
        assert self.wrong is not None
        return event(self.job_id, 9, time=9_000_000, status=self.wrong[0])


def at(step: int, zone: str = "+00:00") -> str:
    """The time of a step as PostgreSQL writes it in JSON, in UTC."""
    return f"2026-01-01T12:00:0{step}{zone}"


def epoch(step: int) -> int:
    return 1_767_268_800 + step


def noted(**more: Any) -> list[dict[str, Any]]:
    return [{"at": "2026-01-01T12:00:02.000000Z", "attempt": 1, "error": "disk full", **more}]


SCHEMAS = [
    Schema(
        "river",
        "INSERT INTO river_job (id, max_attempts, args, kind, tags) VALUES (17, 25, '{\"a\": 1}', 'mail', '{x}')",
        "17",
        {
            "state": "discarded",
            "attempt": 1,
            "attempted_at": at(1),
            "attempted_by": ["w-1"],
            "finalized_at": at(2),
            "errors": noted(trace=""),
        },
        {
            "state": "completed",
            "attempt": 2,
            "attempted_at": at(3),
            "attempted_by": ["w-1", "w-2"],
            "finalized_at": at(4),
            "errors": noted(trace=""),
        },
        ("paused", "22P02"),
    ),
    Schema(
        "procrastinate",
        "INSERT INTO procrastinate_jobs (id, queue_name, task_name, lock) VALUES (17, 'mail', 'send', 'l')",
        "17",
        {"status": "failed", "attempts": 1},
        {"status": "succeeded", "attempts": 2},
        ("paused", "22P02"),
    ),
    Schema(
        "oban",
        "INSERT INTO oban_jobs (id, worker, args, tags) VALUES (17, 'Mail', '{\"a\": 1}', '{x}')",
        "17",
        {
            "state": "discarded",
            "attempt": 1,
            "attempted_at": at(1, ""),
            "completed_at": None,
            "discarded_at": at(2, ""),
            "errors": noted(),
        },
        {
            "state": "completed",
            "attempt": 2,
            "attempted_at": at(3, ""),
            "completed_at": at(4, ""),
            "discarded_at": None,
            "errors": noted(),
        },
        ("paused", "22P02"),
    ),
    Schema(
        "pg_boss",
        f"INSERT INTO pgboss.job (id, name, data) VALUES ('{UUID}', 'mail/eu', '{{\"a\": 1}}')",
        f"mail/eu/{UUID}",
        {
            "state": "failed",
            "started_on": at(1),
            "completed_on": at(2),
            "retry_count": 0,
            "output": {"message": "disk full"},
        },
        {"state": "completed", "started_on": at(3), "completed_on": at(4), "retry_count": 1, "output": None},
        ("paused", "22P02"),
    ),
    Schema(
        "celery_django",
        "INSERT INTO django_celery_results_taskresult (id, task_id, task_name, status, content_type, content_encoding,"
        f" date_created, date_done)"
        f" VALUES (17, '{UUID}', 'mail', 'PENDING', 'application/json', 'utf-8', now(), now())",
        UUID,
        {"status": "FAILURE", "worker": "w-1", "date_done": at(2), "traceback": "disk full"},
        {"status": "SUCCESS", "worker": "w-2", "date_done": at(4), "traceback": None},
        ("paused", "23502"),
    ),
    Schema(
        "celery_sqlalchemy",
        f"INSERT INTO celery_taskmeta (id, task_id, status, result) VALUES (17, '{UUID}', 'PENDING', '\\x80')",
        UUID,
        {"status": "FAILURE", "date_done": at(2, ""), "traceback": "disk full"},
        {"status": "SUCCESS", "date_done": at(4, ""), "traceback": None},
        ("p" * 51, "22001"),
    ),
    Schema(
        "django_q",
        "INSERT INTO django_q_task (id, name, func, started, stopped, success, attempt_count)"
        f" VALUES ('{UUID.replace('-', '')}', 'mail', 'app.send', now(), now(), true, 0)",
        UUID.replace("-", ""),
        {"success": False, "started": at(1), "stopped": at(2), "attempt_count": 1},
        {"success": True, "started": at(3), "stopped": at(4), "attempt_count": 2},
        ("paused", "23502"),
    ),
    Schema(
        "dagster",
        "INSERT INTO runs (id, run_id, pipeline_name, status, run_body)"
        f" VALUES (17, '{UUID}', 'mail', 'QUEUED', '{{}}')",
        UUID,
        {"status": "FAILURE", "start_time": epoch(1), "end_time": epoch(2), "update_timestamp": at(2, "")},
        {"status": "SUCCESS", "start_time": epoch(3), "end_time": epoch(4), "update_timestamp": at(4, "")},
        ("p" * 64, "22001"),
    ),
    Schema(
        "airflow",
        "INSERT INTO task_instance (dag_id, task_id, run_id, map_index, pool, pool_slots, next_kwargs)"
        " VALUES ('mail', 'send', 'scheduled__2026-01-01T00:00:00+00:00', -1, 'default_pool', 1, '{}')",
        "mail/send/scheduled__2026-01-01T00:00:00+00:00/-1",
        {
            "state": "failed",
            "try_number": 1,
            "start_date": at(1),
            "end_date": at(2),
            "duration": 1,
            "hostname": "w-1",
        },
        {
            "state": "success",
            "try_number": 2,
            "start_date": at(3),
            "end_date": at(4),
            "duration": 1,
            "hostname": "w-2",
        },
        ("p" * 21, "22001"),
    ),
    Schema(
        "que",
        "INSERT INTO que_jobs (id, job_class, args, job_schema_version) VALUES (17, 'Mail', '[1]', 2)",
        "17",
        {"finished_at": None, "expired_at": at(2), "error_count": 1, "last_error_message": "disk full"},
        {"finished_at": at(4), "expired_at": None, "error_count": 1, "last_error_message": "disk full"},
        None,
    ),
]
