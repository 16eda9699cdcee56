"""The only module of the producer that uses the Kafka client: it hands over records and classifies failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer
from jobstatus_schemas.masking import remember, secrets_of, without_secrets
from jobstatus_schemas.protocol import LATE_HEADER
from jobstatus_schemas.token_login import PROPERTY as LOGIN
from jobstatus_schemas.token_login import trouble_of, with_login

from jobstatus_producer import process
from jobstatus_producer.errors import SettingsError
from jobstatus_producer.log import client_logger
from jobstatus_producer.settings import variable_of

_DEFAULTS: Final[Mapping[str, str | int]] = {
    "acks": "all",
    "enable.idempotence": "true",
    "partitioner": "murmur2_random",
    # the client never gives up by itself: the outbox decides how long a record is tried
    "message.timeout.ms": 0,
    "topic.metadata.propagation.max.ms": 5000,
    "queue.buffering.max.kbytes": 2_147_483_647,
    # half of it is also the pause between the first two connections of a client; it doubles up to the next
    "reconnect.backoff.ms": 20,
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
_FATAL: Final = frozenset({KafkaError._FATAL, KafkaError._STATE})
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})

FLUSH_SECONDS: Final = 1.0
LET_GO_SECONDS: Final = 0.5
"""How long `close` waits for librdkafka's threads. One of them may wait for a name server for half a minute."""
FIND_SECONDS: Final = 0.1
"""How long one call of `find_broker` may block."""
FIND_STEP_SECONDS: Final = 0.01
NEW_SECONDS: Final = 2.0
"""How long after its first attempt a client that has not found a broker counts as new."""

Done = Callable[[KafkaError | None, Any], None]


_NOT_ALLOWED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
"""Without the right to write, the broker gives the client no producer id, and calls that a right on the cluster."""


class FailureKind(Enum):
    """What a failure means for the record."""

    TEMPORARY = auto()
    """the broker cannot be reached, or cannot take it now: try again"""
    CLIENT_DEAD = auto()
    """the Kafka client is in a fatal state, which it never leaves: make a new one, and try again"""
    PURGED = auto()
    """the producer itself called the record back: whether the broker has it is not known"""
    BATCH_REFUSED = auto()
    """the broker refuses the whole batch for the content of one of its records: try each of them alone"""
    REFUSED = auto()
    """refused for the content of this very record: trying again is no use"""


class Failure(NamedTuple):
    """Why a record was not delivered."""

    text: str
    kind: FailureKind = FailureKind.TEMPORARY

    def is_final(self, *, alone: bool) -> bool:
        """Whether the record is refused for good. A refused batch proves that only for a record that was `alone`."""
        return self.kind is FailureKind.REFUSED or (alone and self.kind is FailureKind.BATCH_REFUSED)


def failure_of(error: KafkaError, secrets: Iterable[str] = (), topic: str = "") -> Failure:
    """What the client's `error` means for a record of `topic`. The text contains none of `secrets`."""
    text = f"{error.name()}: {without_secrets(error.str(), secrets)}"
    if error.code() in _NOT_ALLOWED:
        place = f"the topic {topic}" if topic else "its topic"
        text += f" (this client has no right WRITE on {place}; jobstatus acls producer prints how to give it)"
    return Failure(text, _kind_of(error))


def _kind_of(error: KafkaError) -> FailureKind:
    code = error.code()
    if code in _PURGED:
        return FailureKind.PURGED
    if error.fatal() or code in _FATAL:
        return FailureKind.CLIENT_DEAD
    return FailureKind.BATCH_REFUSED if code in _CONTENT else FailureKind.TEMPORARY


class Transport(Protocol):
    """What the outbox needs of a Kafka client. The tests have one in memory."""

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        """Hand a record over. Never blocks. A `Failure` means that the client did not take it.

        Otherwise a later `poll`, in whichever thread, calls `done` with the error, or None for acknowledged.
        """

    def poll(self, seconds: float) -> None:
        """Run the callbacks that are due; wait up to `seconds` for the first."""

    def find_broker(self) -> None:
        """Have a new client find its broker at once. May block for 0.1 s. Does nothing once it is found."""

    def reach(self, seconds: float) -> Failure | None:
        """Why no broker answers this client and lets it see the topic; None if one does. May block for `seconds`."""

    def not_ready(self, seconds: float) -> Failure | None:
        """Why nothing may be handed over yet; None if something may. May block for `seconds`."""

    def purge(self) -> None:
        """Give up every record that was not acknowledged: later polls call `done` with an error for each."""

    def close(self) -> None:
        """Let go of the client, within a bound. Records that were not acknowledged are given up."""

    def __len__(self) -> int:
        """How many records the client holds, those with a callback that is still to be run included."""


OpenTransport = Callable[[str, Mapping[str, str], int, Callable[[Failure], None]], Transport]
"""Makes a transport: topic, librdkafka's properties, how many records it may hold, and what to call for its errors."""


class KafkaTransport:
    """One librdkafka producer."""

    def __init__(
        self,
        topic: str,
        properties: Mapping[str, str],
        max_records: int,
        on_error: Callable[[Failure], None],
        *,
        open_client: Callable[..., Producer] = Producer,
        let_go_seconds: float = LET_GO_SECONDS,
    ) -> None:
        # `find_broker` needs it. Not at the top: it takes 10 ms. Not in the sender's thread: a child that is forked in
        # the middle of an import can never import that module
        import confluent_kafka.admin  # noqa: F401

        config = with_login({**_DEFAULTS, "queue.buffering.max.messages": max_records, **properties})
        self._secrets = secrets_of(properties)
        remember(self._secrets)
        self._on_error = on_error
        self._let_go_seconds = let_go_seconds
        config["error_cb"] = lambda error: self._on_error(failure_of(error, self._secrets, topic))
        process.note_client_start(self)
        try:
            self._producer: Producer | None = open_client(config, logger=client_logger)
        except KafkaException as error:
            process.note_client_quiet(self)
            trouble = trouble_of(config)
            text = f"{variable_of(LOGIN)}: {trouble}; no token, so no login" if trouble else ""
            raise SettingsError(text or _refused_property(error, properties)) from None
        self._topic = topic
        self._produce = self._producer.produce
        self._is_new = True
        self._new_until: float | None = None

    def poll(self, seconds: float) -> None:
        """Run the callbacks that are due; wait up to `seconds` for the first. A closed client just waits."""
        producer = self._producer
        if producer is None:
            time.sleep(seconds)
            return
        try:
            producer.poll(seconds)
        except KafkaException as error:
            # librdkafka raises its fatal state in whichever thread polls next; the sender's thread mends it
            self._on_error(failure_of(error.args[0], self._secrets, self._topic))
        except SystemError:
            # the client drops what a signal handler raises when that interrupts a log line of the client, and then
            # fails with this error
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt("a signal handler raised in the middle of the Kafka client") from None
            raise

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        """Hand a record over. Never blocks. A `Failure` means that the client did not take it."""
        try:
            if late or traceparent:
                self._produce(self._topic, value, key, on_delivery=done, headers=_headers(late, traceparent))
            else:
                self._produce(self._topic, value, key, on_delivery=done)
        except KafkaException as error:
            failure = failure_of(error.args[0], self._secrets, self._topic)
            # it was refused before it was in any batch, so the record itself is the cause
            return failure._replace(kind=FailureKind.REFUSED) if failure.is_final(alone=True) else failure
        except BufferError:
            return Failure("the client's queue is full")
        return None

    def find_broker(self) -> None:
        """Have a new client find its broker at once. May block for 0.1 s. Does nothing once it is found.

        An idempotent client sends nothing before it has a producer id. librdkafka asks for the id when metadata arrive,
        if a broker is connected by then; else it looks again 0.5 s later. The first metadata come over the bootstrap
        connection, mostly before any other. So this requests metadata until a broker has sent them itself.
        """
        if not self._is_new:
            return
        deadline = time.monotonic() + FIND_SECONDS
        if self._new_until is None:
            self._new_until = deadline + NEW_SECONDS
        while self._is_new and (left := deadline - time.monotonic()) > 0 and (producer := self._producer) is not None:
            try:
                # -1 is the bootstrap connection
                self._is_new = producer.list_topics(self._topic, left).orig_broker_id < 0
            except KafkaException:
                # no broker within that time
                self._is_new = time.monotonic() < self._new_until
            self.poll(FIND_STEP_SECONDS)
        if not self._is_new:
            process.note_client_quiet(self)

    def reach(self, seconds: float) -> Failure | None:
        """Why no broker answers this client; None if one does. May block for `seconds`. Not for a closed client.

        A broker that does not let its user see the topic gives an answer that counts as none.
        """
        if self._producer is None:
            return None
        try:
            found = self._producer.list_topics(self._topic, seconds).topics.get(self._topic)
        except KafkaException as error:
            return failure_of(error.args[0], self._secrets, self._topic)
        if found is None or found.error is None or found.error.code() not in _NOT_ALLOWED:
            return None
        return failure_of(found.error, self._secrets, self._topic)

    def not_ready(self, seconds: float) -> Failure | None:
        """Nothing keeps records from being handed over."""
        return None

    def __len__(self) -> int:
        """How many records the client holds, those with a callback that is still to be run included."""
        return 0 if self._producer is None else len(self._producer)

    def purge(self) -> None:
        """Give up every record that was not acknowledged: later polls call `done` with an error for each."""
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True)

    def close(self) -> None:
        """Let go of the client. Blocks for 1.5 s at most, however long its threads take to end."""
        if self._producer is None:
            return
        process.note_client_quiet(self)
        self.purge()
        self._run_callbacks(self._producer)
        client = [self._producer]
        self._producer, self._produce = None, _refuse
        # librdkafka's destructor, which joins its threads, runs in the thread that drops the last reference
        thread = threading.Thread(target=client.clear, name="jobstatus-let-go", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # no thread can be started, as at the end of the interpreter: keep the client until the process is gone
            process.abandon(client)
        else:
            thread.join(self._let_go_seconds)

    def _run_callbacks(self, producer: Producer) -> None:
        """Run the callbacks of what was purged. A client in its fatal state raises that once, before them."""
        try:
            producer.flush(FLUSH_SECONDS)
        except KafkaException as error:
            self._on_error(failure_of(error.args[0], self._secrets, self._topic))
            with suppress(KafkaException):
                producer.flush(FLUSH_SECONDS)


def _refuse(*_: object, **__: object) -> None:
    raise KafkaException(KafkaError(KafkaError._DESTROY))


def _headers(late: bool, traceparent: str | None) -> list[tuple[str, str | bytes | None]]:
    headers: list[tuple[str, str | bytes | None]] = [(LATE_HEADER, b"1")] if late else []
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def _refused_property(error: KafkaException, properties: Mapping[str, str]) -> str:
    text = without_secrets(error.args[0].str(), secrets_of(properties))
    named = [name for name in properties if f'"{name}"' in text]
    return f"{variable_of(named[0])}: {text}" if named else f"JOBSTATUS_KAFKA_*: {text}"
