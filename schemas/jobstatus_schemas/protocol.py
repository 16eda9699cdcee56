"""Names on which the producer and the consumer must agree, beside the event itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT_TOPIC: Final = "job-status"
TOPIC_WORDS: Final = "1 to 249 letters, digits, dots, underscores and hyphens, and not . or .. alone"
_TOPIC: Final = re.compile(r"(?!\.{1,2}\Z)[a-zA-Z0-9._-]{1,249}")
LATE_HEADER: Final = "jobstatus.late"
"""Marks a late event: sent more than `LATE_AFTER_SECONDS` after it was made, or the log may hold a copy of it."""
LATE_AFTER_SECONDS: Final = 5.0
"""The age from which a producer marks an event as late when it sends it. No other wait has this name."""
ENV_PREFIX: Final = "JOBSTATUS_"
KAFKA_ENV_PREFIX: Final = "JOBSTATUS_KAFKA_"
REGISTRY_ENV_PREFIX: Final = "JOBSTATUS_SCHEMA_REGISTRY_"
FILE_SUFFIX: Final = "_FILE"
"""`<variable>_FILE` names a file that holds the value: see `secret_files`."""
OWN_FILES: Final = frozenset(
    {
        "SASL_OAUTHBEARER_ASSERTION_FILE",
        "SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE",
        "SASL_OAUTHBEARER_ASSERTION_JWT_TEMPLATE_FILE",
    }
)
"""Properties of librdkafka whose own names end so: it reads these files itself."""

FORMATS: Final = ("single-object", "confluent")
"""The framings that a producer can write."""
SUBJECT_STRATEGIES: Final = ("topic", "record", "topic_record")
"""Confluent's TopicNameStrategy, RecordNameStrategy and TopicRecordNameStrategy."""

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
    "JOBSTATUS_FORMAT",
    "JOBSTATUS_SCHEMA_SUBJECT_STRATEGY",
    "JOBSTATUS_SCHEMA_AUTO_REGISTER",
)
"""The producer's settings, beside `JOBSTATUS_KAFKA_*`."""

CONSUMER_ENV: Final = (
    "JOBSTATUS_TOPIC",
    "JOBSTATUS_STATUSES",
    "JOBSTATUS_GROUP_ID",
    "JOBSTATUS_DATABASE_URL",
    "JOBSTATUS_DATABASE_URL_FILE",
    "JOBSTATUS_PREPARED_STATEMENTS",
    "JOBSTATUS_TABLE",
    "JOBSTATUS_DEADLINES",
    "JOBSTATUS_TARGET",
    "JOBSTATUS_WAITING_BUDGET",
    "JOBSTATUS_BATCH_MAX_EVENTS",
    "JOBSTATUS_BATCH_MAX_BYTES",
    "JOBSTATUS_BATCH_LINGER_SECONDS",
    "JOBSTATUS_BATCH_FLUSH",
    "JOBSTATUS_BATCHES_IN_FLIGHT",
    "JOBSTATUS_DLQ_TOPIC",
    "JOBSTATUS_DLQ_BUDGET_IN_A_ROW",
    "JOBSTATUS_DLQ_BUDGET_PERCENT",
    "JOBSTATUS_LOG_FORMAT",
    "JOBSTATUS_LOG_LEVEL",
    "JOBSTATUS_HTTP_ADDRESS",
    "JOBSTATUS_CONSOLE_ADDRESS",
    "JOBSTATUS_CONSOLE_TOKEN",
    "JOBSTATUS_CONSOLE_TOKEN_FILE",
    "JOBSTATUS_CONSOLE_USER_HEADER",
    "JOBSTATUS_CONSOLE_HOSTS",
    "JOBSTATUS_WAIT_FOR_DATABASE",
    "JOBSTATUS_ON_LOST_OFFSETS",
)

REGISTRY_ENV: Final = tuple(
    REGISTRY_ENV_PREFIX + name
    for name in (
        "URL",
        "USER_INFO",
        "USER_INFO_FILE",
        "TOKEN",
        "TOKEN_FILE",
        "SSL_CA_LOCATION",
        "SSL_CERTIFICATE_LOCATION",
        "SSL_KEY_LOCATION",
        "SSL_KEY_PASSWORD",
        "SSL_KEY_PASSWORD_FILE",
    )
)
"""The schema registry, for both sides: see `registry.settings`."""

ALL_ENV: Final = frozenset((*PRODUCER_ENV, *CONSUMER_ENV, *REGISTRY_ENV, "JOBSTATUS_LOCAL_CACHE"))
"""A producer and a consumer may share an environment, so a name is unknown only if neither has such a setting."""


def check_topic(name: str) -> str:
    """`name`, if it is a valid topic name. Raises `ValueError`, which says what is allowed."""
    if not _TOPIC.fullmatch(name):
        raise ValueError(f"wanted {TOPIC_WORDS}")
    return name


def is_file_variable(name: str) -> bool:
    """Return whether this variable names the file of one of librdkafka's properties."""
    own = name.removeprefix(KAFKA_ENV_PREFIX) in OWN_FILES
    return name.startswith(KAFKA_ENV_PREFIX) and name.endswith(FILE_SUFFIX) and not own


def kafka_properties(environ: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's properties from the variables `JOBSTATUS_KAFKA_<NAME>`: in lower case, with dots for underscores."""
    return {
        name[len(KAFKA_ENV_PREFIX) :].lower().replace("_", "."): value
        for name, value in environ.items()
        if name.startswith(KAFKA_ENV_PREFIX) and not is_file_variable(name)
    }


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """The names in `environ` that begin with `JOBSTATUS_` and are no setting, sorted."""
    return sorted(
        name
        for name in environ
        if name.startswith(ENV_PREFIX) and not name.startswith(KAFKA_ENV_PREFIX) and name not in ALL_ENV
    )
