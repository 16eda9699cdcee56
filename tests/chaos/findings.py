"""What the checker may find, by name: the promises that a run must not see broken."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable
from typing import Final

LOST_BY_THE_LOG: Final = "an acknowledged event is not in the topic"
MISSING_ROW: Final = "a row is missing"
DIFFERENT_ROW: Final = "a row is not what the model says"
UNKNOWN_ROW: Final = "a row without an event"
WENT_BACK: Final = "a row went back"
COMMIT_PAST_WRITE: Final = "the committed offset passed an unwritten event"
COMMIT_PAST_LETTER: Final = "the committed offset passed an unsent dead letter"
LETTER_MISSING: Final = "a dead letter is missing"
LETTER_WITHOUT_CAUSE: Final = "a dead letter without a cause"
LETTER_ALTERED: Final = "a dead letter is not its original, or says another reason"
PROGRESS_DIFFERS: Final = "the progress table is not at the end of the log"
NOT_CAUGHT_UP: Final = "lag 0 was not reached in time"
NO_PROGRESS: Final = "writes did not go on after a fault"
ENDED_BY_ITSELF: Final = "a consumer ended by itself"
EXIT_CODE: Final = "a consumer did not exit with 0 on SIGTERM"
WORKER_FAILED: Final = "a worker's producer lost or refused an event"
ENDED_SILENTLY: Final = "a worker's end lost events without an error line"
TAIL_SKIPPED: Final = "an event behind a lost tail is not written"
TAIL_NOT_NAMED: Final = "verify does not name exactly the rows of a lost tail"
PROBE_UNANSWERED: Final = "a health probe had no answer"
STOP_HELD_UP: Final = "a stop waited for a client of the health port"
STRANGERS_IN_THE_WAY: Final = "foreign records broke a command"
TARGET_DIFFERS: Final = "a row of the application's table is not what it has to show"
TARGET_WAITING: Final = "a job with a row waits, or one without a row does not"
DEADLOCK: Final = "the application met a deadlock"

PROMISES: Final = (
    LOST_BY_THE_LOG,
    MISSING_ROW,
    DIFFERENT_ROW,
    UNKNOWN_ROW,
    WENT_BACK,
    COMMIT_PAST_WRITE,
    COMMIT_PAST_LETTER,
    LETTER_MISSING,
    LETTER_WITHOUT_CAUSE,
    LETTER_ALTERED,
    PROGRESS_DIFFERS,
    NOT_CAUGHT_UP,
    NO_PROGRESS,
    ENDED_BY_ITSELF,
    EXIT_CODE,
    WORKER_FAILED,
    ENDED_SILENTLY,
    TAIL_SKIPPED,
    TAIL_NOT_NAMED,
    PROBE_UNANSWERED,
    STOP_HELD_UP,
    STRANGERS_IN_THE_WAY,
    TARGET_DIFFERS,
    TARGET_WAITING,
    DEADLOCK,
)
SHOWN: Final = 5


class Findings:
    """Violations, counted once for each (promise, key); any thread may add one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[str, Hashable]] = set()
        self.counts: Counter[str] = Counter()
        self.details: list[tuple[str, str]] = []
        self._told = 0

    def add(self, promise: str, key: Hashable, detail: str) -> None:
        """`promise` was broken; the first few details of each are kept."""
        with self._lock:
            if (promise, key) in self._seen:
                return
            self._seen.add((promise, key))
            self.counts[promise] += 1
            if self.counts[promise] <= SHOWN:
                self.details.append((promise, detail))

    def news(self) -> list[tuple[str, str]]:
        """The details since the last call."""
        with self._lock:
            told, self._told = self._told, len(self.details)
            return self.details[told:]

    def __len__(self) -> int:
        return self.counts.total()
