"""Asks the schema registry in a thread of its own: the thread that polls Kafka never waits for it.

The loop decodes in order, so at most one id is waited for. The thread asks for it until there is an answer, without a
limit, as the writer does with the database; or until the loop does not want it any more, after a rebalance.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from jobstatus_schemas import UndecodableError
from jobstatus_schemas.registry.errors import UnavailableError
from jobstatus_schemas.schema import Schema

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import StopRequestedError
from jobstatus_consumer.registry import known_schemas
from jobstatus_consumer.retry import retry
from jobstatus_consumer.stream.outage import Outage, OutageLog

if TYPE_CHECKING:
    from jobstatus_schemas.registry.schemas import Schemas

logger = logging.getLogger("jobstatus.consumer")

REGISTRY: Final = "schema registry"
PATIENCE: Final = 0.05
"""Seconds for which the loop waits in one step. Most answers come sooner, and then nothing is paused."""
SILENT_SECONDS: Final = 1.0
"""After so long without an answer the consumer says that it waits."""


class SchemaPendingError(Exception):
    """The registry has not answered yet: the same record can be decoded later."""


class AskedSchemas:
    """What the loop needs of the registry. `schema_of`, `hold` and `settle` are for the loop's thread alone."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._condition = threading.Condition()
        self._wanted: int | None = None
        self._since = 0.0
        self._patience = PATIENCE
        """seconds for which the loop still waits in this step"""
        self._refused: dict[int, UndecodableError] = {}
        self.awaited: object = None
        """the record that waits for its schema: the first of those that were polled"""
        self._stop = threading.Event()
        self._failure: Exception | None = None
        """what has ended the thread, if that was no request to stop"""
        self._thread: threading.Thread | None = None
        self._log = OutageLog(logger, lambda _whom, _error: "registry")

    def schema_of(self, schema_id: int) -> Schema:
        """The schema of the id, if it is known. Blocks for 0.05 s in a step at most.

        Raises `SchemaPendingError` until the registry has answered, and `UndecodableError` if the answer is no schema
        that a status event can be read with. Raises `RuntimeError` if an error has ended the thread.
        """
        with self._condition:
            if self._wanted != schema_id:
                self._ask(schema_id)
                self._wait()
            if self._failure is not None:
                # a class that decoding does not take for a fault of the record
                raise RuntimeError("the thread that asks the schema registry has ended") from self._failure
            refused = self._refused.pop(schema_id, None)
            if refused is not None:
                raise refused
            found = self._schemas.known(schema_id)
            if found is None:
                raise SchemaPendingError
            return found

    def hold(self, record: object) -> None:
        """Note that this record, the first of those that were polled, waits for its schema."""
        self.awaited = record

    def settle(self, polled: Sequence[object]) -> None:
        """Begin a step of the loop.

        A wait ends here if its record is in a batch now, or was dropped because its partition was revoked.
        """
        self._patience = PATIENCE
        if self.awaited is not None and not (polled and polled[0] is self.awaited):
            with self._condition:
                self.awaited = self._wanted = None
                # it was for that record; a later one asks anew
                self._refused.clear()

    @property
    def outage(self) -> Outage | None:
        """That the registry has not answered for a second or longer, and why."""
        wanted, since, found = self._wanted, self._since, self._log.outage
        if wanted is None or time.time() - since < SILENT_SECONDS:
            return None
        return found or Outage(since, f"{REGISTRY}: no answer for schema id {wanted} yet", time.time(), "registry")

    def stop(self) -> None:
        """Have the thread end. Does not wait for that."""
        self._stop.set()
        with self._condition:
            self._condition.notify_all()

    def close(self, timeout: float) -> None:
        """End the thread. A question that is under way is not awaited for longer than `timeout`."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout)

    def _ask(self, schema_id: int) -> None:
        if schema_id in self._refused or self._is_known(schema_id):
            return
        self._wanted, self._since = schema_id, time.time()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jobstatus-schemas", daemon=True)
            self._thread.start()
        self._condition.notify_all()

    def _wait(self) -> None:
        if self._wanted is None or self._patience <= 0:
            return
        began = time.monotonic()
        self._condition.wait_for(lambda: self._wanted is None or self._failure is not None, self._patience)
        self._patience -= time.monotonic() - began

    def _is_known(self, schema_id: int) -> bool:
        try:
            return self._schemas.known(schema_id) is not None
        except UndecodableError:
            return True

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._ask_until_stopped()
        except StopRequestedError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to receive it and stop
            with self._condition:
                self._failure = error
                self._condition.notify_all()

    def _ask_until_stopped(self) -> None:
        while (schema_id := self._next()) is not None:
            answered = retry(
                partial(self._answer, schema_id),
                retry_on=UnavailableError,
                stop=self._stop,
                observe=self._log.report(REGISTRY),
            )
            if answered:
                self._log.end(REGISTRY)
            else:
                self._log.drop()

    def _next(self) -> int | None:
        """The id that is wanted; None at the end. Blocks until there is one."""
        with self._condition:
            self._condition.wait_for(lambda: self._wanted is not None or self._stop.is_set())
            return None if self._stop.is_set() else self._wanted

    def _answer(self, schema_id: int) -> bool:
        """Whether the registry was asked and has answered. Raises `UnavailableError`."""
        if self._wanted != schema_id:
            return False
        refused: UndecodableError | None = None
        try:
            self._schemas.ask(schema_id)
        except UndecodableError as error:
            refused = error
        except UnavailableError as error:
            raise UnavailableError(f"{error}; schema id {schema_id} is needed") from None
        with self._condition:
            if self._wanted == schema_id:
                self._wanted = None
                if refused is not None:
                    self._refused[schema_id] = refused
            self._condition.notify_all()
        return True


def asked_schemas(settings: Settings) -> AskedSchemas | None:
    """The schemas for a consumer with these settings; None without a registry."""
    return None if settings.registry is None else AskedSchemas(known_schemas(settings.registry))
