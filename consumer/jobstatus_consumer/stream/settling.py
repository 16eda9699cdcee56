"""When the writer's thread tries again what could not be written to the target."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from jobstatus_consumer.errors import ConnectionStaleError, DatabaseAwayError
from jobstatus_consumer.records import Projected

logger = logging.getLogger("jobstatus.writer")

EVERY: Final = 1.0
"""Seconds between two looks at what waits."""
SWEEP: Final = 30.0
"""Seconds within which every waiting job is tried once, however many wait: a row that comes is written in a minute."""
LOOK: Final = 10.0
"""Seconds between two counts while nothing waits: another consumer may have left something."""


class WaitingPort(Protocol):
    """How many jobs wait."""

    @property
    def jobs(self) -> int: ...

    @property
    def since(self) -> float: ...


class SettlerPort(Protocol):
    """What settling needs of a store with a target."""

    @property
    def connected(self) -> bool:
        """False while there is no connection."""

    @property
    def waiting(self) -> WaitingPort:
        """How many jobs wait, and since when the oldest does."""

    @property
    def page(self) -> int:
        """How many jobs a page has."""

    @property
    def page_left(self) -> bool:
        """Whether the pages of waiting jobs have not come to their end yet."""

    def settle(self) -> Projected:
        """Try the next page."""

    def count_waiting(self) -> object:
        """Ask how many jobs wait."""

    def close(self) -> None:
        """Close the connection."""


class Settling:
    """Decides when the next page of waiting jobs is tried. For the writer's thread; others may read its properties.

    `report` is called with what came of each page.
    """

    def __init__(
        self, store: SettlerPort, report: Callable[[Projected], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._report = report
        self._clock = clock
        self._ran = -LOOK
        self._rest = LOOK

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return self._store.waiting.jobs

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest of them has waited."""
        return max(0.0, self._clock() - self._store.waiting.since) if self.waiting else 0.0

    def due_in(self) -> float | None:
        """Seconds until `run`; None while there is no connection, which only a task makes."""
        if not self._store.connected:
            return None
        rest = min(self._rest, EVERY) if self.waiting else LOOK
        return max(0.0, self._ran + rest - self._clock())

    def run(self) -> None:
        """Try the next page, or count where nothing waits. May block as a write does.

        Raises DeploymentError. Without the database it does nothing: the next task waits for it.
        """
        self._ran, self._rest = self._clock(), LOOK
        try:
            if self._store.waiting.jobs == 0:
                self._store.count_waiting()
                if self._store.waiting.jobs == 0:
                    return
            found = self._store.settle()
        except DatabaseAwayError as error:
            logger.debug("what waits was not tried: %s", error)
            return
        except ConnectionStaleError as error:
            logger.debug("what waits was not tried, connecting anew: %s", error)
            self._store.close()
            return
        self._report(found)
        self._ran, self._rest = self._clock(), self._rest_after(found)

    def _rest_after(self, found: Projected) -> float:
        if not self._store.page_left:
            return EVERY
        if found.arrived:
            return 0.0
        return min(EVERY, SWEEP * self._store.page / max(1, self.waiting))
