"""What is asked in the background because it reads much: dead letters, overdue jobs, and table against log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobstatus_consumer.config import Settings
from jobstatus_consumer.console.sources import Sources
from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.errors import StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations import (
    Criteria,
    JudgedLetter,
    LetterOverview,
    LetterSelection,
    Scope,
    VerifyReport,
    is_exact,
    latest_time,
    quiet,
    survey,
    verify,
    verify_scope,
    within,
)
from jobstatus_consumer.store import Limits, OverdueJob, Table, WatchedTable, open_read_only

LETTER_SECONDS: Final = 3.0
"""How long dead letters are read at a time."""
SAMPLES: Final = 20
"""Letters of each cause that are listed, the newest ones."""
OVERDUE_ROWS: Final = 200
MESSAGE_LETTERS: Final = 300
VERIFY_LIMITS: Final = Limits(connect=5.0, statement=600.0, lock=5.0, deaf=15.0)

Cause = tuple[str, str, str, str]
Stop = Callable[[], bool]


@dataclass(slots=True)
class Letters:
    """The dead letters by cause, with some of each. `complete`: all of them were read."""

    overview: LetterOverview = field(default_factory=LetterOverview)
    samples: dict[Cause, list[JudgedLetter]] = field(default_factory=dict)
    complete: bool = True

    @property
    def open(self) -> int:
        """The number of open letters."""
        return self.overview.open

    def keep(self, item: JudgedLetter) -> None:
        """Keep the newest letters of each cause, without what the original said."""
        cause = (*item.letter.cause, item.letter.group)
        kept = self.samples.setdefault(cause, [])
        kept.append(item._replace(letter=item.letter.without_value()))
        del kept[:-SAMPLES]


def read_letters(settings: Settings, sources: Sources, stop: Stop) -> Letters:
    """Read the dead letters for `LETTER_SECONDS` and judge them by the table. Blocks; raises `JobStatusError`."""
    enough = within(LETTER_SECONDS, stop)
    own = LetterSelection(settings.topic, group=settings.group_id, table=settings.table)

    def read(reader: RangeReader, table: Table) -> Letters:
        found = Letters()
        found.overview = survey(reader, table, own, decoder_of(settings), enough, found.keep)
        found.complete = not enough()
        return found

    return sources.letters.use(lambda reader: sources.tables.use(lambda table: read(reader, table)))


@dataclass(frozen=True, slots=True)
class Overdue:
    """The overdue jobs: how many by status, and those that have been silent longest."""

    counts: Mapping[str, int]
    jobs: Sequence[OverdueJob]


def read_overdue(settings: Settings, table: WatchedTable) -> Overdue:
    """Count and list the jobs over their deadline, which reads the whole table twice. Blocks."""
    deadlines = settings.deadlines or {}
    if not deadlines:
        return Overdue({}, ())
    now = time.time()
    counts = table.overdue(deadlines, now)
    some = any(counts.values())
    jobs = table.jobs(deadlines, now, limit=OVERDUE_ROWS, letters=MESSAGE_LETTERS) if some else ()
    return Overdue(counts, jobs)


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of one comparison of the table with the log, and what was compared."""

    report: VerifyReport
    scope: Scope

    @property
    def is_right(self) -> bool:
        """Whether every row that was judged says what the log says."""
        return self.report.complete and self.report.total == 0


def compare(settings: Settings, sources: Sources, stop: Stop) -> Verified:
    """Compare the whole table with everything that the group has written. Blocks for as long as that takes."""
    with Table(settings.database, settings.table, opener=open_read_only, limits=VERIFY_LIMITS) as table:
        return sources.logs.use(lambda reader: _compared(settings, sources, reader, table, stop))


def _compared(settings: Settings, sources: Sources, reader: RangeReader, table: Table, stop: Stop) -> Verified:
    topics = sources.new_topics()
    scope = verify_scope(settings, topics, reader, table)
    criteria = Criteria(is_exact(scope, table.progress()), limit=latest_time(topics, reader.topic))
    report = verify(reader, scope, table, criteria, stop, progress=quiet)
    if stop():
        raise StopRequestedError("the console ends")
    return Verified(report, scope)
