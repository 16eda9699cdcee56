"""The producer's one logger, and a limit on how often it may say the same thing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

logger: Final = logging.getLogger("jobstatus.producer")
USUAL: Final = "Coordinator load in progress: retrying"
"""What librdkafka warns of whenever it is the first client of a fresh broker; a lasting trouble is told otherwise."""
client_logger: Final = logger.getChild("client")
"""librdkafka's own lines, which it repeats for every try to connect."""


class Throttle:
    """Lets each kind of line through at most once in `seconds`, and then says how many it held back."""

    def __init__(self, seconds: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._next: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """As a `logging` filter: one line of each kind, by its first word (librdkafka's facility)."""
        text = record.getMessage().rstrip()
        if text.endswith(USUAL):
            return False
        now, kind = self._now(), text.split(" ", 1)[0]
        if now < self._next.get(kind, now):
            return False
        self._next[kind] = now + self._seconds
        return True

    def log(self, level: int, kind: str, text: str, *args: object) -> None:
        """Log `text % args` unless a line of this `kind` was logged within the last `seconds`."""
        now = self._now()
        if now < self._next.get(kind, now):
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._next[kind] = now + self._seconds
        held_back = self._held_back.pop(kind, 0)
        if held_back:
            text, args = text + " (%d more like it since the last such line)", (*args, held_back)
        logger.log(level, text, *args)


client_logger.addFilter(Throttle())
