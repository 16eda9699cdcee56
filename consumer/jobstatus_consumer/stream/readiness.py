"""Whether a consumer can work: the topics, the tables and the database, each problem with its remedy."""

from __future__ import annotations

import logging
import time
from threading import Event

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, DatabaseAwayError, StartError
from jobstatus_consumer.kafka import Topics, unfit
from jobstatus_consumer.registry import trouble_with
from jobstatus_consumer.retry import Observer, retry
from jobstatus_consumer.store import Problem, Store, check, target_of
from jobstatus_consumer.stream.checks import (
    further_problems,
    group_of_the_other_protocol,
    missing_rights,
    unknown_protocol,
)

logger = logging.getLogger("jobstatus.consumer")


def problems(settings: Settings, topics: Topics) -> list[Problem]:
    """Return everything that keeps a consumer from working, in the order in which to solve it.

    An unreachable broker is a problem like any other. Blocks until broker and database have answered, or have not.
    Raises only `MalformedUrlError`.
    """
    try:
        found = _asked_of_the_broker(settings, topics)
    except BrokerError as error:
        what, _, remedy = str(error).partition(". ")
        does = "does not answer" if isinstance(error, BrokerAwayError) else "refuses"
        found = [Problem(f"the broker {does}: {what}", remedy or "look at the broker and at JOBSTATUS_KAFKA_*")]
    found += check(settings.database, settings.table, target=target_of(settings))
    trouble = settings.registry and trouble_with(settings.registry)
    if trouble:
        found.append(
            Problem(f"the schema registry {trouble}", "look at the registry and at JOBSTATUS_SCHEMA_REGISTRY_*")
        )
    return found


def _asked_of_the_broker(settings: Settings, topics: Topics) -> list[Problem]:
    return _topics_or_rights(settings, topics) or further_problems(settings, topics)


def _topics_or_rights(settings: Settings, topics: Topics) -> list[Problem]:
    """What is wrong with the topics; all the rights that are missing where the broker lets nobody look at them."""
    try:
        return _broker_problems(settings, topics)
    except BrokerAwayError:
        raise
    except BrokerError:
        found = list(missing_rights(settings, topics))
        if found:
            return found
        raise


def wait_until_ready(settings: Settings, topics: Topics, stop: Event) -> None:
    """Return once a consumer can work. Blocks for `wait_for_database` seconds, and for a last question to a broker.

    Raises `StartError` at once for a problem that only a person can solve, and at the end of that time for one that
    may pass, such as a fail-over. Raises `BrokerAwayError` at the end of that time if no broker answers, any other
    `BrokerError` at once, and `StopRequestedError`.
    """
    deadline = time.monotonic() + settings.wait_for_database
    _wait_for_database(settings, stop, deadline)
    _wait_for_problems_to_pass(settings, topics, stop, deadline)


def _wait_for_database(settings: Settings, stop: Event, deadline: float) -> None:
    """Connect for the first time. This wait is limited: a wrong password looks like an unreachable server."""
    store = Store(settings.database, settings.table)
    observe = _warn_once("the database does not answer yet: %s; trying for %g s", settings.wait_for_database)
    try:
        retry(store.connect, retry_on=DatabaseAwayError, stop=stop, deadline=deadline, observe=observe)
    except DatabaseAwayError as error:
        raise StartError(
            f"no connection to the database in {settings.wait_for_database:g} s: {error}. Is JOBSTATUS_DATABASE_URL "
            "right (host, port, user, password, database)? --wait-for-database sets how long to try"
        ) from None
    # the checks and the writer connect on their own, and a consumer needs one connection at a time
    store.close()


class _NotReadyYetError(StartError):
    """All problems may pass without a person, such as a server that is not writable yet."""


def _wait_for_problems_to_pass(settings: Settings, topics: Topics, stop: Event, deadline: float) -> None:
    def look() -> None:
        found = _topics_or_rights(settings, topics) + check(
            settings.database, settings.table, target=target_of(settings)
        )
        if found:
            lines = "\n".join(f"  - {item.what}; {item.remedy}" for item in found)
            kind = _NotReadyYetError if all(item.may_pass for item in found) else StartError
            raise kind(f"not ready:\n{lines}\njobstatus check lists this at any time")

    observe = _warn_once("%s; trying for %g s", settings.wait_for_database)
    may_pass = (_NotReadyYetError, BrokerAwayError)
    retry(look, retry_on=lambda error: isinstance(error, may_pass), stop=stop, deadline=deadline, observe=observe)


def _broker_problems(settings: Settings, topics: Topics) -> list[Problem]:
    return [
        *_topic_problems(settings, topics),
        *unknown_protocol(settings, topics),
        *group_of_the_other_protocol(settings, topics),
    ]


def _topic_problems(settings: Settings, topics: Topics) -> list[Problem]:
    found = []
    for name in (settings.topic, settings.dead_letter_topic):
        trouble = unfit(topics.describe(name), name)
        if trouble:
            what, _, remedy = trouble.partition("; ")
            found.append(Problem(what, remedy))
    return found


def _warn_once(line: str, seconds: float) -> Observer:
    def observe(error: BaseException, _upcoming: float, tries: int) -> None:
        if tries == 1:
            logger.warning(line, error, seconds)

    return observe
