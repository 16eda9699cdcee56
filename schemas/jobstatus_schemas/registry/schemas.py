"""The schemas of a registry by their ids, kept until the process ends: an id never gets another schema."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Final

from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.registry.client import RegistryClient
from jobstatus_schemas.registry.errors import NotFoundError, RefusedError, UnavailableError
from jobstatus_schemas.registry.settings import RegistrySettings
from jobstatus_schemas.registry.writers import writer_schema
from jobstatus_schemas.schema import Schema

PATIENCE_SECONDS: Final = 10.0
"""How long `ask_patiently` asks a registry that gives no answer, and for how long it then raises at once."""
PAUSE_SECONDS: Final = 0.5
UNKNOWN_SECONDS: Final = 1.0
"""How long an id counts as unknown without another question: a thousand records with it need not cost as many."""


class Schemas:
    """What the registry has answered. Threads may share it."""

    def __init__(self, client: RegistryClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[int, Schema | UndecodableError] = {}
        self._unknown: dict[int, float] = {}
        """until when each of these ids counts as unknown"""
        self._no_answer_until = 0.0
        self._no_answer = UnavailableError("")

    def known(self, schema_id: int) -> Schema | None:
        """The schema of the id, if the registry has been asked for it. Never blocks.

        Raises `UndecodableError` for a schema that is no use, and for an id that was unknown within the last second.
        """
        found = self._known.get(schema_id)
        if found is None and self._clock() < self._unknown.get(schema_id, 0.0):
            raise _unknown(schema_id)
        if isinstance(found, UndecodableError):
            raise UndecodableError(found.reason, str(found))
        return found

    def ask(self, schema_id: int) -> Schema:
        """The schema of the id. Blocks for one answer of the registry, unless the id is known.

        Raises `UndecodableError` for an id that the registry does not know and for a schema that is no use, and
        `UnavailableError`. What is unknown is asked again after a second: it may be registered at any time.
        """
        known = self.known(schema_id)
        if known is not None:
            return known
        try:
            answer = self._client.schema(schema_id)
        except NotFoundError:
            now = self._clock()
            still = {each: until for each, until in self._unknown.items() if until > now}
            self._unknown = {**still, schema_id: now + UNKNOWN_SECONDS}
            raise _unknown(schema_id) from None
        except RefusedError as error:
            raise UnavailableError(str(error)) from None
        try:
            found = self._known[schema_id] = writer_schema(schema_id, answer.text, answer.kind)
        except UndecodableError as error:
            self._known[schema_id] = error
            raise
        return found

    def ask_patiently(self, schema_id: int) -> Schema:
        """As `ask`, but asks again for 10 s before it raises `UnavailableError`; then it raises at once for 10 s."""
        deadline = self._clock() + PATIENCE_SECONDS
        if self._clock() < self._no_answer_until and self._known.get(schema_id) is None:
            raise UnavailableError(str(self._no_answer))
        while True:
            try:
                return self.ask(schema_id)
            except UnavailableError as error:
                if self._clock() + PAUSE_SECONDS >= deadline:
                    self._no_answer, self._no_answer_until = error, self._clock() + PATIENCE_SECONDS
                    raise
            time.sleep(PAUSE_SECONDS)


def _unknown(schema_id: int) -> UndecodableError:
    detail = f"Confluent framing, schema id {schema_id}, which the schema registry does not know"
    return UndecodableError("unknown_schema", detail)


@cache
def schemas_of(settings: RegistrySettings) -> Schemas:
    """The schemas of a registry, for every thread and every use in this process."""
    return Schemas(RegistryClient(settings))
