"""The id that a schema registry has for the event's schema. A thread asks for it until there is an answer."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from jobstatus_schemas.registry.errors import NotFoundError, RegistryError
from jobstatus_schemas.schema import Schema, schema_text

from jobstatus_producer.errors import SettingsError
from jobstatus_producer.settings import ProducerSettings

if TYPE_CHECKING:
    from jobstatus_schemas.registry.client import RegistryClient

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
"""Seconds between two questions that got no answer."""

_KNOWN: Final[dict[tuple[str, str, str], int]] = {}
"""By registry, subject and version, for every producer of this process and of its forked children."""


class SchemaIds:
    """Finds ids. Its thread is a daemon thread, which keeps no process alive; a forked child makes an object anew."""

    def __init__(self, settings: ProducerSettings) -> None:
        self._settings = settings
        self._client, self.subject = _client_of(settings)
        self._condition = threading.Condition()
        self._wanted: deque[Schema] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.trouble = ""
        """why there is no id yet; empty as long as no question for it has failed"""

    def find(self, schema: Schema) -> int | None:
        """The id of one of our schemas; None while the registry is asked for it. Never blocks."""
        found = _KNOWN.get(self._name(schema))
        if found is None:
            self._ask(schema)
        return found

    def wait(self, schema: Schema, seconds: float) -> int | None:
        """As `find`, but block for up to `seconds`."""
        found = self.find(schema)
        if found is None and seconds:
            with self._condition:
                self._condition.wait_for(lambda: self._name(schema) in _KNOWN or self._closed, seconds)
            found = _KNOWN.get(self._name(schema))
        return found

    def close(self) -> None:
        """End the thread. Never blocks: a question that is under way ends by its own time-out."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _name(self, schema: Schema) -> tuple[str, str, str]:
        registry = self._settings.registry
        return "" if registry is None else registry.url, self.subject, schema.version

    def _ask(self, schema: Schema) -> None:
        with self._condition:
            if self._closed:
                return
            if schema not in self._wanted:
                self._wanted.append(schema)
                self._condition.notify_all()
            if self._thread is None:
                self._thread = self._started()

    def _started(self) -> threading.Thread | None:
        """The thread; None if the system starts no more threads now. The next question tries again."""
        thread = threading.Thread(target=self._run, name="jobstatus-schema-id", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self.trouble = f"no thread can ask the schema registry: {error}"
            return None
        return thread

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while (schema := self._next()) is not None:
            if self._look_up(schema):
                pause = FIRST_PAUSE
                continue
            with self._condition:
                self._condition.wait_for(lambda: self._closed, pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._client.close()

    def _next(self) -> Schema | None:
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._wanted)
            return None if self._closed else self._wanted[0]

    def _look_up(self, schema: Schema) -> bool:
        try:
            found = self._ask_registry(schema)
        except RegistryError as error:
            self.trouble = f"schema registry: {error}"
            return False
        except Exception as error:  # noqa: BLE001 - nothing may end the thread: no event is delivered without it
            self.trouble = f"schema registry: its answer cannot be used ({type(error).__name__})"
            return False
        with self._condition:
            _KNOWN[self._name(schema)] = found
            self.trouble = ""
            self._wanted.popleft()
            self._condition.notify_all()
        return True

    def _ask_registry(self, schema: Schema) -> int:
        from jobstatus_schemas.registry.subjects import registered

        try:
            return registered(self._client, self.subject, schema.version).id
        except NotFoundError:
            if not self._settings.schema_auto_register:
                raise
        return self._client.register(self.subject, schema_text(schema.version))


def _client_of(settings: ProducerSettings) -> tuple[RegistryClient, str]:
    """The registry's client and the subject. Raises `SettingsError`.

    Both are imported and made here, and not in the thread: a child that is forked in the middle of an import can never
    import that module.
    """
    assert settings.registry is not None  # noqa: S101 - the settings have checked it
    try:
        from jobstatus_schemas.registry.client import RegistryClient
        from jobstatus_schemas.registry.subjects import subject_of
    except ImportError as error:
        text = f"JOBSTATUS_FORMAT=confluent: {error.name} is not installed; pip install 'jobstatus[registry]'"
        raise SettingsError(text) from None
    client = RegistryClient(settings.registry)
    try:
        client.connect()
    except RegistryError as error:
        raise SettingsError(f"JOBSTATUS_SCHEMA_REGISTRY_*: {error}") from None
    return client, subject_of(settings.schema_subject_strategy, settings.topic)
