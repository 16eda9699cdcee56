"""The producer's logger, and a limit on how often it may repeat a line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from jobstatus_schemas.masking import masked

logger: Final = logging.getLogger("jobstatus.producer")
USUAL: Final = (
    "Coordinator load in progress: retrying",
    "Broker handle destroyed without termination: retrying",
)
"""librdkafka warns of these when it is the first client of a fresh broker, and when it asked over the connection that
only finds the brokers. A lasting problem shows in other lines."""
client_logger: Final = logger.getChild("client")
"""librdkafka's own lines. It repeats them for every attempt to connect."""


def log_lost(events: str, why: str) -> None:
    """Log that `events` are lost with the process, and why: no caller is left that could be given them."""
    text = "this process ends, and what is neither delivered nor spooled is lost with it: %s; why: %s"
    logger.error(text, events, why)


class Throttle:
    """Admits one line of each kind in `seconds`, and counts those that it holds back."""

    def __init__(self, seconds: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._next: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide for the `logging` package. The kind of a line is its first word, which is librdkafka's facility."""
        text = record.getMessage().rstrip()
        return not text.endswith(USUAL) and self._admit(text.split(" ", 1)[0]) is not None

    def log(self, level: int, kind: str, text: str, *args: object) -> None:
        """Log `text % args`, unless a line of this `kind` was logged within the last `seconds`."""
        held_back = self._admit(kind)
        if held_back:
            text, args = text + " (%d more like it since the last such line)", (*args, held_back)
        if held_back is not None:
            logger.log(level, text, *args)

    def _admit(self, kind: str) -> int | None:
        """How many lines of this kind were held back since the last one; None holds this one back, too."""
        now = self._now()
        if now < self._next.get(kind, now):
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return None
        self._next[kind] = now + self._seconds
        return self._held_back.pop(kind, 0)


def _hide_secrets(record: logging.LogRecord) -> bool:
    # librdkafka repeats what it could not read, such as the name of a broker with a password before it
    record.msg, record.args = masked(record.getMessage()), ()
    return True


client_logger.addFilter(Throttle())
client_logger.addFilter(_hide_secrets)
