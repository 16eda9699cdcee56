"""Wiring: what must be there at the start, the parts put together, signals, and how a run ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.dead_letters import Budget
from jobstatus_consumer.errors import (
    BrokerAwayError,
    DatabaseAwayError,
    OffsetsLostError,
    SettingsError,
    StartError,
    StopRequestedError,
)
from jobstatus_consumer.kafka.dead_letters import DeadLetterSender
from jobstatus_consumer.kafka.group import end_offsets
from jobstatus_consumer.kafka.group_consumer import GroupConsumer
from jobstatus_consumer.kafka.topics import Topics, unfit
from jobstatus_consumer.retry import retry
from jobstatus_consumer.signals import handled_by, stop_once
from jobstatus_consumer.store import Problem, Store, check
from jobstatus_consumer.stream.pipeline import Pipeline
from jobstatus_consumer.stream.run_stats import RunStats, Totals
from jobstatus_consumer.stream.writer import Writer
from jobstatus_consumer.telemetry.http import Health, HealthServer
from jobstatus_consumer.telemetry.metrics import Metrics

logger = logging.getLogger("jobstatus.consumer")

ASK_OTHERS_EVERY: Final = 0.5
CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: counts of events, seconds by the clock on the wall, events a second."""

    events: int
    applied: int
    stale: int
    merged: int
    dead_letters: int
    batches: int
    statements: int
    seconds: float
    events_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def summary_of(totals: Totals, seconds: float) -> Summary:
    """The summary of `totals`, done in `seconds`."""
    return Summary(
        totals.events,
        totals.applied,
        sum(totals.stale.values()),
        totals.merged,
        totals.dead_letters,
        totals.batches,
        totals.statements,
        round(seconds, 3),
        round(totals.events / seconds, 1) if seconds > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of one run only, and so is no setting."""

    until_caught_up: bool = False
    clear_dlq_budget: bool = False
    explicit_http: bool = False
    """the address was asked for, so that it is an error where it cannot be had"""


def consume(settings: Settings, options: Options) -> Summary:
    """Be a member of the group until a signal says stop, or until all that is there now is written.

    Raises `StartError` where the topics, the tables or the database are not ready, and whatever stops the loop.
    """
    stop = threading.Event()
    with handled_by(stop_once(stop, _told)):
        topics = Topics(settings)
        deadline = time.monotonic() + settings.wait_for_database
        try:
            _wait_for_database(settings, stop, deadline)
            _wait_until_ready(settings, topics, stop, deadline)
        except StopRequestedError:
            return summary_of(Totals(), 0)
        ends = end_offsets(settings, topics) if options.until_caught_up else None
        return _run(settings, options, topics, stop, ends)


def _run(
    settings: Settings,
    options: Options,
    topics: Topics,
    stop: threading.Event,
    ends: Mapping[int, int] | None,
) -> Summary:
    started = time.monotonic()
    metrics = Metrics()
    tally = RunStats(metrics)
    budget = Budget(settings.dlq_budget_in_a_row, settings.dlq_budget_percent, start_anew=options.clear_dlq_budget)
    now = _Now()
    server = _serve(settings, metrics, lambda: _health(now), explicit=options.explicit_http)
    logger.info("reading %s as %s, writing to %s", settings.topic, settings.group_id, settings.table)
    try:
        while not stop.is_set():
            with _member(settings, topics, tally, budget) as member:
                now.member = member
                now.rejoins = _ran(member.pipeline, _until(stop, member.pipeline, ends), settings)
                if not now.rejoins:
                    break
                # its writer ends now, and that is no reason to restart the process
                now.member = None
    finally:
        if server is not None:
            server.close()
    summary = summary_of(tally.totals, time.monotonic() - started)
    logger.info(
        "done: %d events in %d batches, %d dead letters, %.1f s",
        summary.events,
        summary.batches,
        summary.dead_letters,
        summary.seconds,
    )
    return summary


class Member(NamedTuple):
    """One membership in the group: when it ends, for whatever reason, nothing of it is used again."""

    pipeline: Pipeline
    writer: Writer


@dataclass(slots=True)
class _Now:
    """What the probes are told of; `rejoins`: why the group is being joined anew."""

    member: Member | None = None
    rejoins: str = ""


@contextmanager
def _member(settings: Settings, topics: Topics, tally: RunStats, budget: Budget) -> Iterator[Member]:
    sender = DeadLetterSender(settings)
    writer = Writer(Store(settings.database, settings.table), sender, budget, settings.group_id)
    pipeline = Pipeline(settings, lambda handler: GroupConsumer(settings, topics, handler), writer, tally, budget)
    writer.start()
    try:
        yield Member(pipeline, writer)
    finally:
        writer.close(CLOSE_SECONDS)
        sender.close()


def _ran(pipeline: Pipeline, stop: Callable[[], bool], settings: Settings) -> str:
    """Empty where the run came to its end; else why the group is to be joined anew.

    That is where the broker gave no answer during an assignment, and where offsets were lost and the loss was
    accepted beforehand: only when it is joined is it decided, partition by partition, where to go on.
    """
    try:
        pipeline.run(stop)
    except BrokerAwayError as error:
        logger.warning("%s; nothing is lost; joining the group anew", error)
        return str(error)
    except OffsetsLostError as error:
        if settings.on_lost_offsets == "stop":
            raise
        logger.warning("%s", error)
        return str(error)
    return ""


def _until(stop: threading.Event, pipeline: Pipeline, ends: Mapping[int, int] | None) -> Callable[[], bool]:
    if ends is None:
        return stop.is_set
    asked_at = 0.0

    def elsewhere(partitions: set[int]) -> Mapping[int, int]:
        nonlocal asked_at
        if time.monotonic() - asked_at < ASK_OTHERS_EVERY:
            return {}
        asked_at = time.monotonic()
        found = pipeline.source.committed(partitions)
        return {number: item.offset for number, item in found.items() if item.offset is not None}

    return lambda: stop.is_set() or pipeline.caught_up(ends, elsewhere)


def _health(now: _Now) -> Health:
    member, rejoins = now.member, now.rejoins
    if member is None:
        return Health(writer_alive=True, poll_age=0.0, waiting_for=rejoins, waiting_seconds=0.0, assigned_partitions=0)
    pipeline, writer = member
    waiting = writer.waiting
    return Health(
        writer_alive=writer.alive,
        poll_age=round(time.monotonic() - pipeline.polled_at, 3),
        waiting_for=waiting.reason if waiting else "" if pipeline.assigned else rejoins,
        waiting_seconds=round(time.time() - waiting.since, 3) if waiting else 0.0,
        assigned_partitions=pipeline.assigned,
    )


def _serve(
    settings: Settings, metrics: Metrics, health: Callable[[], Health], *, explicit: bool
) -> HealthServer | None:
    if settings.http_address == "off":
        return None
    try:
        server = HealthServer(settings.http_address, metrics.registry, health)
        logger.info("metrics and health on %s (/metrics, /livez, /readyz)", server.url)
        return server
    except SettingsError as error:
        if explicit:
            raise
        # a second consumer on one machine: nobody asked for this address, so nobody is surprised by its absence
        logger.warning("no metrics and health: %s", error)
        return None


def _wait_for_database(settings: Settings, stop: threading.Event, deadline: float) -> None:
    """Connect for the first time. A wrong password looks like a server that is away, so this wait has an end."""
    store = Store(settings.database, settings.table)

    def observe(error: BaseException, upcoming: float, tries: int) -> None:
        if tries == 1:
            logger.warning("the database does not answer yet: %s; trying for %g s", error, settings.wait_for_database)

    try:
        retry(store.connect, retry_on=DatabaseAwayError, stop=stop, deadline=deadline, observe=observe)
    except DatabaseAwayError as error:
        raise StartError(
            f"no connection to the database in {settings.wait_for_database:g} s: {error}. Is JOBSTATUS_DATABASE_URL "
            "right (host, port, user, password, database)? --wait-for-database sets how long to try"
        ) from None
    # whoever works with the database next has a connection of its own, and a consumer needs one at a time
    store.close()


def problems(settings: Settings, topics: Topics) -> list[Problem]:
    """Everything that keeps a consumer from working, each with its remedy, in the order to mend them."""
    found = []
    for name in (settings.topic, settings.dead_letter_topic):
        facts = topics.describe(name)
        trouble = unfit(facts, name)
        if trouble:
            what, _, remedy = trouble.partition("; ")
            found.append(Problem(what, remedy))
    return found + check(settings.database, settings.table)


class _NotReadyYetError(StartError):
    """Nothing stands in the way but what may go away by itself, such as a server that is not writable yet."""


def _wait_until_ready(settings: Settings, topics: Topics, stop: threading.Event, deadline: float) -> None:
    """Refuse to start where something must be mended; what may pass, such as a fail-over, has until `deadline`."""

    def look() -> None:
        found = problems(settings, topics)
        if found:
            lines = "\n".join(f"  - {item.what}; {item.remedy}" for item in found)
            kind = _NotReadyYetError if all(item.may_pass for item in found) else StartError
            raise kind(f"not ready:\n{lines}\njobstatus check lists this at any time")

    def observe(error: BaseException, upcoming: float, tries: int) -> None:
        if tries == 1:
            logger.warning("%s; trying for %g s", error, settings.wait_for_database)

    retry(look, retry_on=_NotReadyYetError, stop=stop, deadline=deadline, observe=observe)


def _told(name: str) -> None:
    logger.info("%s: writing and committing what is in hand, then stopping; once more ends at once", name)
