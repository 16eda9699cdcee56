"""The subjects under which a registry keeps the event's schema, and the id that it has there."""

from __future__ import annotations

from typing import Final

from jobstatus_schemas.registry.client import Registered, RegistryClient
from jobstatus_schemas.registry.errors import NotFoundError
from jobstatus_schemas.schema import plain_schema_text, schema_text

RECORD: Final = "jobstatus.JobStatusEvent"


def subject_of(strategy: str, topic: str) -> str:
    """The subject for `topic`, by one of `protocol.SUBJECT_STRATEGIES`, as Confluent's serializers name it."""
    return {"topic": f"{topic}-value", "record": RECORD, "topic_record": f"{topic}-{RECORD}"}[strategy]


def registered(client: RegistryClient, subject: str, version: str) -> Registered:
    """Our schema of `version`, with or without its logical types, as `subject` has it. Blocks for two answers.

    Raises `NotFoundError`, which says how to register it, `RefusedError` or `UnavailableError`.
    """
    for text in (schema_text(version), plain_schema_text(version)):
        try:
            return client.lookup(subject, text)
        except NotFoundError:
            continue
    raise NotFoundError(
        f"the subject {subject} does not have the event's schema; register it with: jobstatus schema register"
    )
