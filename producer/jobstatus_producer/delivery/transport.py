"""The one module that knows the Kafka client: it hands records to librdkafka and says how that ended."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer
from jobstatus_schemas.protocol import LATE_HEADER

from jobstatus_producer import process
from jobstatus_producer.errors import SettingsError
from jobstatus_producer.log import client_logger
from jobstatus_producer.settings import _SECRET, variable_of

_DEFAULTS: Final[Mapping[str, str | int]] = {
    "acks": "all",
    "enable.idempotence": "true",
    "partitioner": "murmur2_random",
    # how long to try is the outbox's decision, not the client's
    "message.timeout.ms": 0,
    "topic.metadata.propagation.max.ms": 5000,
    "queue.buffering.max.kbytes": 2_147_483_647,
    "reconnect.backoff.max.ms": 2000,
    "linger.ms": 5,
    "client.id": "jobstatus-producer",
}
_CONTENT: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
    }
)
_QUOTED: Final = re.compile(r"(beginning at:).*", re.DOTALL)
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})

FLUSH_SECONDS: Final = 1.0
LET_GO_SECONDS: Final = 0.5
"""For librdkafka's threads to end; one of them may be waiting for a name server, which takes up to half a minute."""

Done = Callable[[KafkaError | None, Any], None]


class Failure(NamedTuple):
    """Why a record was not delivered."""

    text: str
    refused: bool = False
    """for its own content: trying again is no use"""
    suspect: bool = False
    """the broker refuses the content of its whole batch: only a record that was alone is known to be the cause"""
    fatal: bool = False
    """the client must be made anew"""
    purged: bool = False
    """because we gave it up ourselves"""


def failure_of(error: KafkaError, secrets: Iterable[str] = ()) -> Failure:
    """What the client's `error` means for a record; its text holds none of `secrets`."""
    code = error.code()
    fatal = bool(error.fatal()) or code in (KafkaError._FATAL, KafkaError._STATE)
    text = f"{error.name()}: {_without(secrets, error.str())}"
    return Failure(text, suspect=code in _CONTENT, fatal=fatal, purged=code in _PURGED)


class KafkaTransport:
    """One librdkafka producer."""

    def __init__(
        self, topic: str, properties: Mapping[str, str], max_records: int, on_error: Callable[[Failure], None]
    ) -> None:
        config: dict[str, Any] = {**_DEFAULTS, "queue.buffering.max.messages": max_records, **properties}
        self._secrets = _secrets(properties)
        self._on_error = on_error
        config["error_cb"] = lambda error: self._on_error(failure_of(error, self._secrets))
        try:
            self._producer: Producer | None = Producer(config, logger=client_logger)
        except KafkaException as error:
            raise SettingsError(_refused_property(error, properties)) from None
        self._topic = topic
        self._produce = self._producer.produce

    def poll(self, seconds: float) -> None:
        """Run the callbacks of what has ended, waiting up to `seconds` for the first."""
        producer = self._producer
        if producer is None:
            time.sleep(seconds)
            return
        try:
            producer.poll(seconds)
        except KafkaException as error:
            # a fatal state of the client comes out of whatever thread polls next: it is the worker's to mend
            self._on_error(failure_of(error.args[0], self._secrets))

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        """Hand a record over; `done` is called from a later `poll`. A `Failure` says that it was not taken."""
        try:
            if late or traceparent:
                self._produce(self._topic, value, key, on_delivery=done, headers=_headers(late, traceparent))
            else:
                self._produce(self._topic, value, key, on_delivery=done)
        except KafkaException as error:
            failure = failure_of(error.args[0], self._secrets)
            return failure._replace(refused=failure.suspect, suspect=False)
        except BufferError:
            return Failure("the client's queue is full")
        return None

    def __len__(self) -> int:
        """How many records have not ended yet, or wait for their callback."""
        return 0 if self._producer is None else len(self._producer)

    def purge(self) -> None:
        """Give up whatever is under way: each record's `done` is called with an error by a later `poll`."""
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True)

    def drop(self) -> None:
        """Close before anything was sent, where there is nobody yet to be told of anything."""
        self._on_error = lambda _failure: None
        self.close()

    def close(self) -> None:
        """Let go of the client; what it still holds is given up. Bounded, however long its threads take to end."""
        if self._producer is None:
            return
        self.purge()
        self._producer.flush(FLUSH_SECONDS)
        client = [self._producer]
        self._producer, self._produce = None, _refuse
        # whoever lets go last waits for librdkafka's threads
        thread = threading.Thread(target=client.clear, name="jobstatus-let-go", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # the interpreter ends, and with it whatever there is
            process.abandon(client)
        else:
            thread.join(LET_GO_SECONDS)


def _refuse(*_: object, **__: object) -> None:
    raise KafkaException(KafkaError(KafkaError._DESTROY))


def _headers(late: bool, traceparent: str | None) -> list[tuple[str, str | bytes | None]]:
    headers: list[tuple[str, str | bytes | None]] = [(LATE_HEADER, b"1")] if late else []
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def _secrets(properties: Mapping[str, str]) -> list[str]:
    return [value for name, value in properties.items() if value and any(word in name for word in _SECRET)]


def _without(secrets: Iterable[str], text: str) -> str:
    """The client's `text` as logs may show it: it quotes what it could not read, and that may be a password."""
    # the longest first: a short one may be a part of it
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return _QUOTED.sub(r"\1 ***", text)


def _refused_property(error: KafkaException, properties: Mapping[str, str]) -> str:
    text = _without(_secrets(properties), error.args[0].str())
    named = [name for name in properties if f'"{name}"' in text]
    return f"{variable_of(named[0])}: {text}" if named else f"JOBSTATUS_KAFKA_*: {text}"
