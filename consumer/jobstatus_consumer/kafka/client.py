"""What every client of the broker has in common: properties, log lines, and errors as our own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from tenacity import wait_random

from jobstatus_consumer.config import FIXED_KAFKA, Settings, variable_of
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, SettingsError, StopRequestedError
from jobstatus_consumer.kafka.error_codes import REPORT_AS_UNREACHABLE, is_final, may_pass
from jobstatus_consumer.retry import retry
from jobstatus_consumer.signals import open_to_a_stop
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.kafka")

CONSUMER_ONLY: Final = ("enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "enable.partition.eof")
PRODUCER_ONLY: Final = ("acks", "enable.idempotence")

ANSWER_SECONDS: Final = 10.0
"""How long one question to the broker may take."""
ASK_FOR_SECONDS: Final = 30.0
"""How long a question is asked again while its error is one that passes."""
ASK_AGAIN_AFTER: Final = wait_random(0.1, 0.5)
"""Seconds between two questions: shorter than the waits for a database, since a new leader is elected quickly."""

SAME_LINE_SECONDS: Final = 60.0
"""librdkafka repeats its lines with every attempt to connect: one of each kind is logged in this time."""

T = TypeVar("T")


def consumer_properties(settings: Settings, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The user's properties, over `extra`, with what the guarantees rest on over both."""
    return {**_base(settings), **extra, **settings.kafka, **{name: FIXED_KAFKA[name] for name in CONSUMER_ONLY}}


def producer_properties(settings: Settings, extra: Mapping[str, Any]) -> dict[str, Any]:
    """As `consumer_properties`, for the producer of the dead letters."""
    return {**_base(settings), **extra, **settings.kafka, **{name: FIXED_KAFKA[name] for name in PRODUCER_ONLY}}


def admin_properties(settings: Settings) -> dict[str, Any]:
    """The user's properties for an admin client."""
    return {**_base(settings), **settings.kafka}


def _base(settings: Settings) -> dict[str, Any]:
    # asked for here, so that its absence is said by its own name and not by librdkafka's
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "jobstatus",
        "logger": library_logger(),
    }


class LibraryLines:
    """A `logging` filter for librdkafka's own lines."""

    LEFT_OUT: Final = ("CONFWARN", "FAIL")
    """A property that is meant for another kind of client; a broker that is away, which `error_cb` is told, too."""

    def __init__(self) -> None:
        self._throttle = Throttle(SAME_LINE_SECONDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is passed on; its kind is its first word."""
        kind = record.getMessage().split(" ", 1)[0]
        return kind not in self.LEFT_OUT and self._throttle.allows(kind)


def library_logger() -> logging.Logger:
    """Where librdkafka's own lines go."""
    found = logging.getLogger("jobstatus.librdkafka")
    if not found.filters:
        found.addFilter(LibraryLines())
    return found


def make(kind: Callable[[dict[str, Any]], T], properties: dict[str, Any]) -> T:
    """A client of `kind`, or a `SettingsError` with what librdkafka says of the properties."""
    try:
        return kind(properties)
    except KafkaException as error:
        inner = error_of(error)
        said = inner.str() if inner is not None else str(error)
        named = [name for name in properties if f'"{name}"' in said]
        raise SettingsError(f"{variable_of(named[0]) if named else 'JOBSTATUS_KAFKA_*'} (--kafka): {said}") from None


def describe(error: KafkaException | KafkaError) -> str:
    """An error of the client's library as a person reads it: its name and its text."""
    inner = error.args[0] if isinstance(error, KafkaException) else error
    return f"{inner.name()}: {inner.str()}" if isinstance(inner, KafkaError) else str(inner)


def error_of(error: KafkaException) -> KafkaError | None:
    """The `KafkaError` inside an exception, where there is one."""
    return error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None


def broker_error(doing: str, error: KafkaException | KafkaError) -> BrokerError:
    """Our error for `error`, met while `doing`."""
    return BrokerError(f"{doing}: {describe(error)}")


def ask(
    doing: str,
    question: Callable[[], T],
    errors: QuietErrors | None = None,
    servers: str = "",
    *,
    patience: float = ASK_FOR_SECONDS,
) -> T:
    """Return the answer to `question`; ask again while the broker is unavailable, starting or moving. Blocks.

    It is asked again for `patience` seconds, and one question may take `ANSWER_SECONDS` more. Raises `BrokerError`,
    which names what was being done, and the `servers` if no broker answers; it is a `BrokerAwayError` if a later
    question may be answered. Once `errors` has a final error, the question is not asked again. A command's Ctrl-C
    ends the waiting with a `StopRequestedError`.
    """

    try:
        return _answer(question, errors, patience)
    except StopRequestedError:
        raise StopRequestedError(f"{doing}: stopped before the broker answered") from None
    except KafkaException as error:
        final = errors.fatal if errors is not None else None
        inner = error_of(error)
        if final is None and servers and inner is not None and inner.code() in REPORT_AS_UNREACHABLE:
            why = errors.text if errors is not None and errors.text else describe(inner)
            raise _unanswered(doing, servers, why) from None
        if final is None and inner is not None and may_pass(inner):
            raise BrokerAwayError(f"{doing}: {describe(error)}") from None
        raise broker_error(doing, final or error) from None


def _answer(question: Callable[[], T], errors: QuietErrors | None, patience: float) -> T:
    def asked() -> T:
        try:
            return question()
        except TimeoutError:
            # raised by a future of the client: each step of a question has a time limit of its own
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None

    def passing(error: BaseException) -> bool:
        inner = error_of(error) if isinstance(error, KafkaException) else None
        final = errors is not None and errors.fatal is not None
        return inner is not None and not final and may_pass(inner)

    deadline = time.monotonic() + patience
    with open_to_a_stop() as stopped:
        try:
            return retry(asked, retry_on=passing, stop=stopped, deadline=deadline, observe=_note, wait=ASK_AGAIN_AFTER)
        except KafkaException:
            if stopped.is_set():
                raise StopRequestedError("stopped") from None
            raise


def _note(error: BaseException, upcoming: float, tries: int) -> None:
    logger.debug("no answer to question %d (%s); asking again in %.1f s", tries, error, upcoming)


def _unanswered(doing: str, servers: str, why: str) -> BrokerAwayError:
    return BrokerAwayError(
        f"{doing}: no broker answers at {servers}: {why}. Is JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS right, and does "
        "JOBSTATUS_KAFKA_SECURITY_PROTOCOL fit the broker?"
    )


class QuietErrors:
    """librdkafka's `error_cb`: each kind of error is said once a minute; what is fatal or final is kept."""

    def __init__(self) -> None:
        self._throttle = Throttle(SAME_LINE_SECONDS)
        self.fatal: KafkaError | None = None
        self.text = ""

    def __call__(self, error: KafkaError) -> None:
        """Log `error`, unless that was just done; keep it where it is fatal or final."""
        if is_final(error):
            self.fatal = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self.text:
            return  # why one is away says more than that all are
        self.text = describe(error)
        if self._throttle.allows(error.code()):
            logger.warning("Kafka: %s; the client goes on trying", self.text)
