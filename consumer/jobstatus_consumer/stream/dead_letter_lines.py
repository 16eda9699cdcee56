"""Log lines about dead letters: at once for a new cause, and few for a cause that meets many events."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from jobstatus_consumer.records import Rejected
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.consumer")

LOG_AGAIN_SECONDS: Final = 30.0
LONGEST_KEY: Final = 100
"""A job's id may have 512 bytes, and the key of a foreign record any number."""

_Cause = tuple[str, str, str]


class DeadLetterLines:
    """Logs one line for each cause in 30 s. It names one job, and how many letters had no line since the last one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._throttle = Throttle(LOG_AGAIN_SECONDS, clock)
        self._unnamed: Counter[_Cause] = Counter()

    def sent(self, rejected: Iterable[Rejected]) -> None:
        """Dead letters for these records were acknowledged."""
        for item in rejected:
            cause = item.stage, item.reason, item.where or item.sqlstate
            if self._throttle.allows(cause):
                self._log(item, cause, self._unnamed.pop(cause, 0))
            else:
                self._unnamed[cause] += 1

    @staticmethod
    def _log(item: Rejected, cause: _Cause, unnamed: int) -> None:
        raw = item.raw
        job = "a record without a key" if raw.key is None else f"job {_text(raw.key)}"
        logger.warning(
            "dead letter: %s at %s %d:%d: %s%s",
            *(job, raw.topic, raw.partition, raw.offset, " ".join(cause).rstrip()),
            f"; and {unnamed} more for this cause" if unnamed else "",
            extra={
                "job_id": None if raw.key is None else _text(raw.key),
                "partition": raw.partition,
                "offset": raw.offset,
                **dict(zip(("stage", "reason", "constraint"), cause, strict=True)),
                "more": unnamed,
            },
        )


def _text(key: bytes) -> str:
    text = key[: 4 * LONGEST_KEY].decode("utf-8", "backslashreplace")
    return text if len(text) <= LONGEST_KEY else f"{text[:LONGEST_KEY]}..."
