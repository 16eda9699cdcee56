"""What a thread waits for, and the log lines about it: who does not answer, since when, and the next try."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobstatus_consumer.retry import Observer
from jobstatus_consumer.telemetry.throttle import Throttle

LOG_AGAIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outage:
    """What is waited for, since when, and when it is tried again (both as `time.time`).

    `kind` is `database`, `lock` (another session has locked what is to be written), `broker` or `registry`; `reason` is
    a text.
    """

    since: float
    reason: str
    next_try: float
    kind: str


class OutageLog:
    """Keeps the outage of one thread, and logs its begin, its length now and then, and its end."""

    def __init__(
        self, logger: logging.Logger, kind: Callable[[str, BaseException], str], clock: Callable[[], float] = time.time
    ) -> None:
        self._logger = logger
        self._kind = kind
        self._clock = clock
        self._throttle = Throttle(LOG_AGAIN_SECONDS, clock)
        self.outage: Outage | None = None

    def report(self, whom: str) -> Observer:
        """An observer for `retry` that notes and logs an outage of `whom`."""

        def observe(error: BaseException, upcoming: float, tries: int) -> None:
            now = self._clock()
            since = self.outage.since if self.outage else now
            self.outage = Outage(since, f"{whom}: {error}", now + upcoming, self._kind(whom, error))
            if tries == 1:
                self._throttle.reset()
            if self._throttle.allows():
                self._logger.warning(
                    "waiting for the %s since %s (%.0f s): %s; next try (%d) in %.1f s; reading pauses",
                    whom,
                    time.strftime("%H:%M:%S", time.localtime(since)),
                    now - since,
                    error,
                    tries + 1,
                    upcoming,
                    extra={"reason": str(error), "seconds": round(now - since, 3)},
                )

        return observe

    def end(self, whom: str) -> None:
        """The outage is over, if there was one."""
        if self.outage is not None:
            seconds = self._clock() - self.outage.since
            self._logger.info("the %s answers again after %.1f s; going on", whom, seconds, extra={"seconds": seconds})
            self.outage = None

    def drop(self) -> None:
        """Nothing is waited for any more, although there was no answer."""
        self.outage = None
