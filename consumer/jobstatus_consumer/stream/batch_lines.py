"""The log line of each batch; above ten batches a second one line a second in the same form sums them up."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from jobstatus_consumer.words import counted

logger = logging.getLogger("jobstatus.consumer")

LINES_A_SECOND: Final = 10
"""Above so many batches a second they are summed up."""
SECOND: Final = 1.0


@dataclass(slots=True)
class _Sum:
    """Batches that no line was written for yet."""

    batches: int = 0
    updated: int = 0
    seconds: float = 0.0
    remarks: Counter[str] = field(default_factory=Counter)


class BatchLines:
    """Writes the lines. Call `tick` about once a second, and `flush` at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._in_this_second = 0
        self._summing = False
        self._sum = _Sum()

    def wrote(self, updated: int, seconds: float, remarks: Mapping[str, int]) -> None:
        """Note a batch: how many job statuses it updated, and in how many seconds; `remarks` count what was not."""
        self.tick()
        self._in_this_second += 1
        found = self._sum
        found.batches += 1
        found.updated += updated
        found.seconds += seconds
        if remarks:
            found.remarks.update(remarks)
        if not self._summing and self._in_this_second <= LINES_A_SECOND:
            self.flush()

    def tick(self) -> None:
        """Write the line of a second that has passed."""
        now = self._clock()
        if now - self._began >= SECOND:
            self._summing = self._in_this_second > LINES_A_SECOND
            self._began, self._in_this_second = now, 0
            self.flush()

    def flush(self) -> None:
        """Write the line of what was noted and has none yet."""
        if not self._sum.batches:
            return
        found, self._sum = self._sum, _Sum()
        parts = [_remark(what, count) for what, count in sorted(found.remarks.items())]
        if found.batches > 1:
            parts.insert(0, f"{found.batches} batches")
        logger.info(
            "Batch updated %d job statuses in %.3fs%s",
            found.updated,
            found.seconds,
            f" ({'; '.join(parts)})" if parts else "",
            extra={"events": found.updated, "seconds": round(found.seconds, 3), "batches": found.batches},
        )


def _remark(what: str, count: int) -> str:
    noun, _, reason = what.partition(": ")
    return f"{counted(count, noun, noun if noun == 'stale' else '')}: {reason}"
