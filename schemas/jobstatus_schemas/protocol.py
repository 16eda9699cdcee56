"""Names on which the producer and the consumer must agree, beside the event itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT_TOPIC: Final = "job-status"
TOPIC_WORDS: Final = "1 to 249 letters, digits, dots, underscores and hyphens, and not . or .. alone"
_TOPIC: Final = re.compile(r"(?!\.{1,2}\Z)[a-zA-Z0-9._-]{1,249}")
LATE_HEADER: Final = "jobstatus.late"
"""Marks an event that its producer sent more than 5 s after it was made, or of which a copy may be in the log."""
LATE_AFTER_SECONDS: Final = 5.0
ENV_PREFIX: Final = "JOBSTATUS_"
KAFKA_ENV_PREFIX: Final = "JOBSTATUS_KAFKA_"

PRODUCER_ENV: Final = (
    "JOBSTATUS_TOPIC",
    "JOBSTATUS_SPOOL_DIR",
    "JOBSTATUS_STATUSES",
    "JOBSTATUS_WORKER_ID",
    "JOBSTATUS_SPOOL_MAX_BYTES",
    "JOBSTATUS_DURABLE",
    "JOBSTATUS_MAX_PENDING_EVENTS",
    "JOBSTATUS_MAX_PENDING_BYTES",
    "JOBSTATUS_MAX_BLOCK_SECONDS",
    "JOBSTATUS_WAIT_SECONDS",
    "JOBSTATUS_CLOSE_SECONDS",
)
"""What a worker's environment may set beside `JOBSTATUS_KAFKA_*`; the consumer knows more."""

CONSUMER_ENV: Final = (
    "JOBSTATUS_TOPIC",
    "JOBSTATUS_STATUSES",
    "JOBSTATUS_GROUP_ID",
    "JOBSTATUS_DATABASE_URL",
    "JOBSTATUS_TABLE",
    "JOBSTATUS_BATCH_MAX_EVENTS",
    "JOBSTATUS_BATCH_MAX_BYTES",
    "JOBSTATUS_BATCH_LINGER_SECONDS",
    "JOBSTATUS_DLQ_TOPIC",
    "JOBSTATUS_DLQ_BUDGET_IN_A_ROW",
    "JOBSTATUS_DLQ_BUDGET_PERCENT",
    "JOBSTATUS_LOG_FORMAT",
    "JOBSTATUS_LOG_LEVEL",
    "JOBSTATUS_HTTP_ADDRESS",
    "JOBSTATUS_WAIT_FOR_DATABASE",
    "JOBSTATUS_ON_LOST_OFFSETS",
)

ALL_ENV: Final = frozenset(PRODUCER_ENV) | frozenset(CONSUMER_ENV) | {"JOBSTATUS_LOCAL_CACHE"}
"""One environment may serve both sides: a name is unknown only if neither side knows it."""


def check_topic(name: str) -> str:
    """`name` if Kafka allows it for a topic; else a `ValueError` that says what is allowed."""
    if not _TOPIC.fullmatch(name):
        raise ValueError(f"wanted {TOPIC_WORDS}")
    return name


def kafka_properties(environ: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's properties out of `JOBSTATUS_KAFKA_<NAME>`: lower case, underscores as dots."""
    return {
        name[len(KAFKA_ENV_PREFIX) :].lower().replace("_", "."): value
        for name, value in environ.items()
        if name.startswith(KAFKA_ENV_PREFIX)
    }


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """The names in `environ` that begin with `JOBSTATUS_` and that nothing here reads, sorted."""
    return sorted(
        name
        for name in environ
        if name.startswith(ENV_PREFIX) and not name.startswith(KAFKA_ENV_PREFIX) and name not in ALL_ENV
    )
