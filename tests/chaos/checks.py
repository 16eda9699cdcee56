"""The checks themselves: pure, so that each can be seen to fail without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from law.model import Row

from chaos.findings import (
    COMMIT_PAST_LETTER,
    COMMIT_PAST_WRITE,
    DIFFERENT_ROW,
    LETTER_MISSING,
    LOST_BY_THE_LOG,
    MISSING_ROW,
    UNKNOWN_ROW,
    WENT_BACK,
    Findings,
)
from chaos.history import Due, History, Position
from chaos.letters import Letters


class Seen(NamedTuple):
    """What a sample of the table tells of one row; `latest` in microseconds."""

    job_id: str
    log_id: str
    offset: int
    latest: int
    event_id: str


class RowWatch:
    """No row ever goes back: held against the sample before."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._before: dict[str, Seen] = {}
        self.samples = 0
        self.changes = 0

    def saw(self, rows: Iterable[Seen]) -> None:
        """One consistent sample of the whole table."""
        self.samples += 1
        now = {row.job_id: row for row in rows}
        for job_id, before in self._before.items():
            after = now.get(job_id)
            if after is not before and after != before:
                self.changes += 1
                if why := _back(before, after):
                    self._findings.add(WENT_BACK, (before, after), f"{why}: {before} became {after}")
        self._before = now


def _back(before: Seen, after: Seen | None) -> str:
    if after is None:
        return "it is gone"
    if after.log_id != before.log_id:
        return "it came from another log"
    if after.offset < before.offset:
        return "its offset fell"
    if after.latest < before.latest:
        return "its latest time fell"
    if after.offset == before.offset and after.event_id != before.event_id:
        return "another event at the same offset"
    return ""


def check_committed(due: Iterable[Due], offsets: Mapping[str, int], findings: Findings) -> None:
    """Every event before the committed offsets is in the table or superseded there.

    `offsets` is the table, read after the committed offsets were.
    """
    for job_id, offset in due:
        found = offsets.get(job_id, -1)
        if found < offset:
            findings.add(COMMIT_PAST_WRITE, (job_id, offset), f"{job_id} is at {found}, and {offset} is committed")


class LetterWatch:
    """Every poison before the committed offsets has its dead letter.

    What a broker has acknowledged can be read a moment later only, where its partition has just got another leader:
    so a letter that is not seen at once gets `grace` seconds.
    """

    def __init__(self, findings: Findings, grace: float = 5.0) -> None:
        self._findings = findings
        self._grace = grace
        self._since: dict[Position, float] = {}

    def passed(self, places: Iterable[Position], history: History, letters: Letters, now: float) -> None:
        """`places` were committed over; `letters` were read after that."""
        self._since |= dict.fromkeys(places, now)
        for place, since in list(self._since.items()):
            if letters.copies[place] or not history.needs_letter(place):
                del self._since[place]
            elif now - since >= self._grace:
                del self._since[place]
                self._findings.add(COMMIT_PAST_LETTER, place, f"{place}: {history.poison[place].kind}")


def check_table(expected: Mapping[str, Row], actual: Mapping[str, Row], findings: Findings) -> None:
    """The table is what the model says, row by row."""
    for job_id, row in expected.items():
        if job_id not in actual:
            findings.add(MISSING_ROW, job_id, f"{job_id}: {row}")
        elif actual[job_id] != row:
            findings.add(DIFFERENT_ROW, job_id, f"{job_id}: {actual[job_id]} is not {row}")
    for job_id in actual.keys() - expected.keys():
        findings.add(UNKNOWN_ROW, job_id, f"{job_id}: {actual[job_id]}")


def check_letters(history: History, letters: Letters, findings: Findings) -> None:
    """Every poison is in the dead letters at least once, and nothing else is."""
    for place, (kind, _) in history.poison.items():
        if history.needs_letter(place) and not letters.copies[place]:
            findings.add(LETTER_MISSING, place, f"{place}: {kind}")
    letters.check(history.poison, findings)


def check_journal(acknowledged: Mapping[str, str], history: History, findings: Findings) -> None:
    """Every event that a worker was told is safe is in the topic. The journal: event id to who wrote it down."""
    for event_id in acknowledged.keys() - history.event_ids:
        findings.add(LOST_BY_THE_LOG, event_id, f"{event_id} of {acknowledged[event_id]}")
