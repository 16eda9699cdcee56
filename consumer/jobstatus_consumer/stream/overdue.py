"""Counts overdue jobs for the metric, in a thread of its own: it writes nothing, and costs the database little.

A question reads the whole table where no index helps. So the pause after it is so long that the database works on such
questions for at most one part in `SHARE` of the time, and of a group only the member that has partition 0 asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from jobstatus_consumer.errors import StoreError
from jobstatus_consumer.telemetry.metrics import Metrics

logger = logging.getLogger("jobstatus.consumer")

EVERY: Final = 30.0
"""Seconds between two questions, if they are answered quickly."""
LOOK_AGAIN: Final = 1.0
"""Seconds until a member that does not ask looks whether it has partition 0 now."""
SHARE: Final = 200
JOIN_SECONDS: Final = 2.0


class OverdueCounts(Protocol):
    """What the thread needs of the database; `store.OverdueTable` is one."""

    def counts(self, deadlines: Mapping[str, int], now: float) -> dict[str, int]:
        """By status, how many jobs are overdue."""

    def cancel(self, timeout: float = 2.0) -> None:
        """End the running question."""

    def close(self) -> None:
        """Close the connection."""


class OverdueWatch:
    """Sets the metric of overdue jobs until `close`. `is_asked` says whether this member is the one that asks."""

    def __init__(
        self,
        table: OverdueCounts,
        deadlines: Mapping[str, int],
        metrics: Metrics,
        is_asked: Callable[[], bool],
        *,
        every: float = EVERY,
    ) -> None:
        self._table = table
        self._deadlines = deadlines
        self._metrics = metrics
        self._is_asked = is_asked
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobstatus-overdue", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and its connection; a question that runs is cancelled. May block for some seconds."""
        self._stop.set()
        self._table.cancel()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        pause = 0.0
        try:
            while not self._stop.wait(pause):
                started = time.monotonic()
                asked = self._is_asked()
                self._show(self._ask() if asked else {})
                pause = max(self._every, SHARE * (time.monotonic() - started)) if asked else LOOK_AGAIN
        finally:
            self._table.close()

    def _ask(self) -> Mapping[str, int]:
        try:
            return self._table.counts(self._deadlines, time.time())
        except StoreError as error:
            logger.info("the overdue jobs are not known: %s", error)
            return {}

    def _show(self, counts: Mapping[str, int]) -> None:
        """Set the metric; a status that is not known has none."""
        self._metrics.overdue.clear()
        for status, count in counts.items():
            self._metrics.overdue.labels(status).set(count)
