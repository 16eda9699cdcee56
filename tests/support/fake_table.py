"""A table as the model has it, for those who look at one and mend it; and logs in two partitions of one topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hypothesis import strategies as st
from jobstatus_consumer.operations.replay import ReplayResult
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import CONTENT, PurgedJob, Row, RowPosition, RowRepair
from law.model import Row as ModelRow
from law.model import Table, one_by_one
from support.fake_log import LOGS


class FakeTable:
    """What verify and repair ask of a table, and where a replay's events go; `table` is what is in it."""

    def __init__(self, table: Table) -> None:
        self.table = dict(table)

    def rows(self, jobs: Iterable[str]) -> dict[str, Row]:
        found = {job_id: self.table[job_id] for job_id in jobs if job_id in self.table}
        return {job_id: real_row(row) for job_id, row in found.items() if not row.purged}

    def purged(self, jobs: Iterable[str]) -> dict[str, PurgedJob]:
        found = {job_id: self.table[job_id] for job_id in jobs if job_id in self.table}
        return {job_id: PurgedJob(real_row(row).state, 0.0) for job_id, row in found.items() if row.purged}

    def differing(self, rows: Mapping[str, Row]) -> dict[str, Row | None]:
        found = self.rows(rows)
        return {job_id: found.get(job_id) for job_id, row in rows.items() if found.get(job_id) != row}

    def positions(self, limit: int) -> list[RowPosition]:
        rows = [(job, row) for job, row in self.table.items() if not row.purged]
        return [RowPosition(job, row.log, row.offset, (row.latest or 0) >= limit) for job, row in rows]

    def write(self, chunk: Sequence[Event], result: ReplayResult) -> None:
        self.table = one_by_one(self.table, chunk)

    def repair_rows(self, rows: Sequence[RowRepair]) -> set[str]:
        stand = [item for item in rows if (item.was_log, item.was_offset) == self._place(item.job_id)]
        for item in stand:
            before = self.table[item.job_id]
            row = item.row
            self.table[item.job_id] = replace(
                model_row(row),
                attempt=_highest(row.attempt, before.attempt if item.keep_attempt else None),
                latest=_highest(row.latest, before.latest if item.keep_latest else None),
            )
        return {item.job_id for item in stand}

    def _place(self, job_id: str) -> tuple[str | None, int | None]:
        row = self.table[job_id]
        return row.log, row.offset

    def change(self, job_id: str, **values: object) -> None:
        """What somebody did by hand."""
        self.table[job_id] = replace(self.table[job_id], **values)  # type: ignore[arg-type]


_SAME: Final = ("attempt", "latest", *CONTENT)
"""the fields that a row has under one name here and in the model"""


def real_row(row: ModelRow) -> Row:
    """The model's row as the store reads it."""
    return Row(log_id=row.log, log_offset=row.offset, **{name: getattr(row, name) for name in _SAME})


def model_row(row: Row) -> ModelRow:
    """The store's row as the model has it."""
    return ModelRow(log=row.log_id, offset=row.log_offset, **{name: getattr(row, name) for name in _SAME})


def _highest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def in_second(item: Event) -> Event:
    """The event in the other partition's log."""
    return item._replace(log_id=LOGS[1].id, raw=item.raw._replace(partition=1, log_id=LOGS[1].id))


@st.composite
def interleaved(draw: st.DrawFn, first: Sequence[Event], second: Sequence[Event]) -> list[Event]:
    """Both logs as a consumer may have taken them: each in its order, and between them none.

    The broker's clock tells when each was appended, as it does for real ones.
    """
    turns = draw(st.permutations([0] * len(first) + [1] * len(second)))
    rest = [iter(first), iter(second)]
    taken = [next(rest[turn]) for turn in turns]
    return [item._replace(raw=item.raw._replace(timestamp=number)) for number, item in enumerate(taken)]
