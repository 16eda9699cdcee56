"""Where an action says what it waits for: in the log, because nobody looks at it."""

from __future__ import annotations

import logging

logger = logging.getLogger("jobstatus.actions")


def say(text: str) -> None:
    """Log a line for a person."""
    logger.warning("%s", text)
