"""Where the pages' answers come from: read-only sessions and readers of the log, kept open between questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobstatus_consumer.config import Settings
from jobstatus_consumer.console.pool import Pool
from jobstatus_consumer.kafka import FETCH_DEFAULTS, FETCH_LITTLE, GuardedCoordinator, RangeReader, Topics
from jobstatus_consumer.store import JobList, Limits, Table, open_read_only

LIMITS: Final = Limits(connect=2.0, statement=2.0, lock=1.0, deaf=5.0)
"""Of a page's session: a page is answered within two seconds or without what it asked for."""
PATIENCE: Final = 1.0
"""Seconds for which a question to the broker is asked again."""
READERS: Final = 2
SILENCE_SECONDS: Final = 5.0


class Sources:
    """Opens what a question needs. Safe to use from every thread; `use` of each pool blocks as its question does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url, table = settings.database, settings.table
        self.coordinator = GuardedCoordinator(settings)
        """asks about the group for every part of the console: a client of this process might end it"""
        self.lists = Pool(lambda: JobList(url, table, opener=open_read_only))
        self.tables = Pool(lambda: Table(url, table, opener=open_read_only, limits=LIMITS))
        self.logs = Pool(lambda: self._reader(settings.topic), READERS)
        self.oldest = Pool(lambda: self._reader(settings.topic, FETCH_LITTLE), 1)
        """for the first records of a backlog: one is asked every few seconds"""
        self.letters = Pool(lambda: self._reader(settings.dead_letter_topic), READERS)

    def close(self) -> None:
        """Close what is idle, and the rest when its question has ended; the child process ends."""
        self.coordinator.close()
        for pool in (self.lists, self.tables, self.logs, self.oldest, self.letters):
            pool.close()

    def renew(self) -> None:
        """Forget every reader of the log, and make new ones when they are needed.

        librdkafka's clients have been seen to give no answer for minutes while a new one had its answer at once.
        """
        self.logs.drop_idle()
        self.oldest.drop_idle()
        self.letters.drop_idle()

    def new_topics(self) -> Topics:
        """Return an admin client of the caller's own: it belongs to one thread, and watches one topic."""
        return Topics(self._settings, patience=PATIENCE, coordinator=self.coordinator)

    def _reader(self, topic: str, fetch: Mapping[str, Any] = FETCH_DEFAULTS) -> RangeReader:
        topics = self.new_topics()
        return RangeReader(self._settings, topics, topic=topic, silence_seconds=SILENCE_SECONDS, fetch=fetch)
