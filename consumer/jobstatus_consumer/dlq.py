"""Dead letters: what one holds, and the budget that stops a bad deployment from draining a topic into them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, NamedTuple

from jobstatus_consumer.errors import DeadLetterBudgetError
from jobstatus_consumer.records import RawRecord, Rejected

PREFIX: Final = "jobstatus.dlq."
WINDOW: Final = 100_000
ENOUGH: Final = 1_000
BUCKETS: Final = 100


class DeadLetter(NamedTuple):
    """A record for the dead letters' topic: the original's key, value and timestamp (ms, or 0), and our headers."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]


def dead_letter(rejected: Rejected, group: str, now: float) -> DeadLetter:
    """The dead letter for `rejected`, seen at `now` (seconds since 1970): the original, untouched, and why.

    (topic id, partition, offset) tells two of the same apart. No header of ours holds a value of the row.
    """
    raw = rejected.raw
    told = {
        "topic": raw.topic,
        "topic.id": _topic_id(raw),
        "log.id": raw.log_id,
        "partition": str(raw.partition),
        "offset": str(raw.offset),
        "group": group,
        "stage": rejected.stage,
        "reason": rejected.reason,
        "detail": rejected.detail,
        "error.class": rejected.error_class,
        "sqlstate": rejected.sqlstate,
        "where": rejected.where,
        "first.seen": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "version": version("jobstatus"),
    }
    headers = [*raw.headers, *((PREFIX + name, text.encode()) for name, text in told.items() if text)]
    return DeadLetter(raw.key, raw.value, max(raw.timestamp, 0), headers)


def _topic_id(raw: RawRecord) -> str:
    return raw.log_id.removeprefix(f"{raw.topic}/").split("/", 1)[0]


class Budget:
    """Stops when dead letters are no longer about single events.

    `in_a_row`: so many without a good event between them. `percent`: more than that share of the last 100,000
    events, once 1,000 dead letters were sent.
    """

    def __init__(self, in_a_row: int, percent: float) -> None:
        self._limit_in_a_row = in_a_row
        self._limit_percent = percent
        self.in_a_row = 0
        self.sent = 0
        self._recent: deque[tuple[int, int]] = deque()
        self._recent_events = 0
        self._recent_dead = 0

    def charge(self, good: int, dead: int) -> None:
        """Count a batch of `good` and `dead` events; raises `DeadLetterBudgetError` when that is too much.

        It is raised before the batch's offsets are committed.
        """
        self.sent += dead
        self.in_a_row = 0 if good else self.in_a_row + dead
        self._remember(good + dead, dead)
        if self.in_a_row >= self._limit_in_a_row:
            self._stop(f"{self.in_a_row} dead letters in a row; the limit is {self._limit_in_a_row}")
        share = 100.0 * self._recent_dead / max(1, self._recent_events)
        if self.sent >= ENOUGH and share > self._limit_percent:
            self._stop(
                f"{share:.1f} % of the last {self._recent_events} events; the limit is {self._limit_percent:g} %"
            )

    def _remember(self, events: int, dead: int) -> None:
        self._recent_events += events
        self._recent_dead += dead
        if self._recent and self._recent[-1][0] + events <= WINDOW // BUCKETS:
            last_events, last_dead = self._recent.pop()
            events, dead = last_events + events, last_dead + dead
        self._recent.append((events, dead))
        while self._recent and self._recent_events - self._recent[0][0] >= WINDOW:
            gone_events, gone_dead = self._recent.popleft()
            self._recent_events -= gone_events
            self._recent_dead -= gone_dead

    @staticmethod
    def _stop(what: str) -> None:
        raise DeadLetterBudgetError(
            f"too many dead letters: {what}. Stopped, and nothing of this batch is committed. Look at the newest dead "
            "letters' headers (jobstatus.dlq.reason): a bad deployment of the workers, or a missing column or "
            "constraint? Mend that, or raise --dlq-budget-in-a-row or --dlq-budget-percent"
        )
