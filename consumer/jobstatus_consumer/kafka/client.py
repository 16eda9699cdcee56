"""What all clients of the broker share: their properties, their log lines, their errors as ours, and `ask`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from jobstatus_schemas.masking import masked, remember, secrets_of
from jobstatus_schemas.token_login import PROPERTY as LOGIN
from jobstatus_schemas.token_login import trouble_now, trouble_of, with_login
from tenacity import wait_random

from jobstatus_consumer.config import FIXED_KAFKA, Settings, current_kafka, variable_of
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, SettingsError, StopRequestedError
from jobstatus_consumer.kafka.error_codes import REFUSED_LOGIN, REPORT_AS_UNREACHABLE, is_final, may_pass
from jobstatus_consumer.retry import retry
from jobstatus_consumer.signals import open_to_a_stop
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.kafka")

CONSUMER_ONLY: Final = ("enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "enable.partition.eof")
PRODUCER_ONLY: Final = ("acks", "enable.idempotence")

FETCH_DEFAULTS: Final[Mapping[str, Any]] = {
    # with librdkafka's default of 1000 a fast consumer waits for records when its queue runs low
    "fetch.queue.backoff.ms": 20,
    # limits the memory that a backlog takes, whatever its size
    "queued.max.messages.kbytes": 16_384,
    # the line before counts the bytes of values alone, so the number of records is limited as well
    "queued.min.messages": 20_000,
    # a compressed batch may be a thousand times larger in memory, so one answer holds little more than one of them
    "fetch.max.bytes": 1_048_576,
    # without it a damaged batch is read as it is
    "check.crcs": "true",
    "allow.auto.create.topics": "false",
}
"""What every consumer has unless the user sets it."""
FETCH_LITTLE: Final[Mapping[str, Any]] = {
    **FETCH_DEFAULTS,
    # an answer has at least one batch, whatever its size, and no other is asked for before it is taken
    "queued.min.messages": 1,
    "max.partition.fetch.bytes": 16_384,
}
"""For a reader that wants the first records of a range alone: by default up to 16 MB would come of a backlog."""

ADMIN_DEFAULTS: Final[Mapping[str, Any]] = {
    # a client that asks a controller which is gone takes most of a core until it hears of the next one: 5 minutes else
    "topic.metadata.refresh.interval.ms": 10_000,
}
"""What every admin client has unless the user sets it."""

ANSWER_SECONDS: Final = 10.0
"""How long one question to the broker may take."""
ASK_FOR_SECONDS: Final = 30.0
"""How long a question is asked again while its error may pass."""
ASK_AGAIN_AFTER: Final = wait_random(0.1, 0.5)
"""Seconds between two questions: shorter than the waits for a database, since a new leader is elected quickly."""
SAME_LINE_SECONDS: Final = 60.0
"""librdkafka repeats its lines with every attempt to connect: one of each kind is logged in this time."""

TLS_ADDRESS: Final = "ssl://"
"""What librdkafka's addresses have in them where it connects with TLS."""
CERTIFICATES: Final = (
    " Is the broker's certificate valid, of the authority in JOBSTATUS_KAFKA_SSL_CA_LOCATION, and for the host name "
    "that you gave? Is yours in JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION, if the broker asks for one, and valid?"
)

T = TypeVar("T")


def consumer_properties(settings: Settings, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a consumer's properties: `defaults`, over them the user's, and over both those that must not change.

    Raises `SettingsError` if the brokers are not set.
    """
    return {
        **_base(settings),
        **defaults,
        **current_kafka(settings),
        **{name: FIXED_KAFKA[name] for name in CONSUMER_ONLY},
    }


def producer_properties(settings: Settings, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """As `consumer_properties`, for the producer of the dead letters."""
    return {
        **_base(settings),
        **defaults,
        **current_kafka(settings),
        **{name: FIXED_KAFKA[name] for name in PRODUCER_ONLY},
    }


def admin_properties(settings: Settings) -> dict[str, Any]:
    """Return the user's properties for an admin client; raises `SettingsError` if the brokers are not set."""
    return {**_base(settings), **ADMIN_DEFAULTS, **current_kafka(settings)}


def _base(settings: Settings) -> dict[str, Any]:
    remember(secrets_of(current_kafka(settings)))
    # the brokers are read here, so that the error for missing ones names our setting and not librdkafka's
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "jobstatus",
        "logger": library_logger(),
    }


class LibraryLines:
    """A `logging` filter for librdkafka's own lines: it passes one line of each kind per minute."""

    LEFT_OUT: Final = ("CONFWARN", "FAIL", "PARTCNT")
    """A property for another kind of client; an unreachable broker, which `error_cb` reports too; another number of
    partitions, which `topics alter` and a consumer that gets them say in their own words."""

    def __init__(self) -> None:
        self._throttle = Throttle(SAME_LINE_SECONDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this line is logged; its kind is its first word."""
        kind = record.getMessage().split(" ", 1)[0]
        return kind not in self.LEFT_OUT and self._throttle.allows(kind)


def library_logger() -> logging.Logger:
    """Return the logger for librdkafka's own lines."""
    found = logging.getLogger("jobstatus.librdkafka")
    if not found.filters:
        found.addFilter(LibraryLines())
    return found


def make(make_client: Callable[[dict[str, Any]], T], properties: dict[str, Any]) -> T:
    """Return a new client of the library; raises `SettingsError` if librdkafka refuses a property, or has no token.

    May block for 10 s where a function makes the tokens of its login.
    """
    properties = with_login(properties)
    try:
        return make_client(properties)
    except KafkaException as error:
        if trouble := trouble_of(properties):
            raise SettingsError(f"{variable_of(LOGIN)}: {trouble}; no token, so no login") from None
        inner = error_of(error)
        text = masked(inner.str() if inner is not None else str(error))
        named = [name for name in properties if f'"{name}"' in text]
        raise SettingsError(f"{variable_of(named[0]) if named else 'JOBSTATUS_KAFKA_*'} (--kafka): {text}") from None


def describe(error: KafkaException | KafkaError) -> str:
    """Return an error of the library as a person reads it: its name and its text."""
    inner = error.args[0] if isinstance(error, KafkaException) else error
    return masked(f"{inner.name()}: {inner.str()}" if isinstance(inner, KafkaError) else str(inner))


def error_of(error: KafkaException) -> KafkaError | None:
    """Return the `KafkaError` inside an exception, or None if there is none."""
    return error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None


def broker_error(doing: str, error: KafkaException | KafkaError) -> BrokerError:
    """Return our error for one of the library; `doing` says what failed, such as "reading job-status".

    Where the broker refuses the login, the text also says why a function of the user's gives no token.
    """
    inner = error_of(error) if isinstance(error, KafkaException) else error
    trouble = trouble_now() if inner is not None and inner.code() in REFUSED_LOGIN else ""
    return BrokerError(f"{doing}: {describe(error)}" + (f". {variable_of(LOGIN)}: {trouble}" if trouble else ""))


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
        f"{doing}: no broker answers at {masked(servers)}: {why}. Is JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS right, and does "
        f"JOBSTATUS_KAFKA_SECURITY_PROTOCOL fit the broker?{CERTIFICATES if TLS_ADDRESS in why else ''}"
    )


class QuietErrors:
    """librdkafka's `error_cb`: it logs each kind of error once a minute, and keeps a final one in `fatal`."""

    def __init__(self) -> None:
        self._throttle = Throttle(SAME_LINE_SECONDS)
        self.fatal: KafkaError | None = None
        self.text = ""

    def forget(self) -> None:
        """Begin anew, for a new client."""
        self.fatal, self.text = None, ""

    def __call__(self, error: KafkaError) -> None:
        """Keep `error` if it is final, and log it unless one of its kind was logged in the last minute."""
        if is_final(error):
            self.fatal = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self.text:
            return  # an earlier error said why a broker is unreachable; this one says only that all are
        self.text = describe(error)
        if self._throttle.allows(error.code()):
            logger.warning("Kafka: %s; the client goes on trying", self.text)
