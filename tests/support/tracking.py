"""`JobStatusProducer.track` without a producer."""

from __future__ import annotations

from jobstatus_producer.tracking import STATUSES, Track

BEGUN = ("processing", None)
DONE = ("success", None)
CLOSED = ("error", "GeneratorExit: closed before its end")


class Jobs:
    """Remembers what was reported, and for which job and attempt."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, object]] = []
        self.attempts: list[tuple[object, object]] = []

    def track(self, job_id: object, *, attempt: int | None = None) -> Track:
        self.attempts.append((job_id, attempt))
        return Track(self.report, STATUSES)

    def report(self, status: str, error_message: object = None) -> None:
        self.reports.append((status, error_message))
