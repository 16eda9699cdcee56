"""The columns of the managed table for SQLAlchemy; `docs/reference/table.md` explains each.

This file is made from the layout of the table: `python -m tests.support.generate_docs` writes it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column


class JobColumns:
    """A mixin: `class Job(JobColumns, Base): __tablename__ = "jobs"`. Add columns of your own below it."""

    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    status: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int | None] = mapped_column(Integer)
    worker_id: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    event_id: Mapped[UUID | None] = mapped_column(Uuid)
    latest_occurred_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    log_id: Mapped[str | None] = mapped_column(Text)
    log_offset: Mapped[int | None] = mapped_column(BigInteger)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
