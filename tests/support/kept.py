"""A producer that keeps what was reported."""

from __future__ import annotations

from typing import Any


class Kept:
    """Each report is `(job_id, status, error_message, attempt)`, in the order of the calls."""

    def __init__(self) -> None:
        self.reports: list[tuple[Any, ...]] = []

    def update_job_status(self, *report: Any, attempt: int | None = None) -> None:
        """Keep the report."""
        self.reports.append((*report, attempt))

    async def aupdate_job_status(self, *report: Any, attempt: int | None = None) -> None:
        """Keep the report."""
        self.reports.append((*report, attempt))
