"""One run of `jobstatus consume`: from the checks at the start, through one or more memberships, to the summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, Final, NamedTuple

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Budget
from jobstatus_consumer.errors import BrokerAwayError, OffsetsLostError, SettingsError, StartError, StopRequestedError
from jobstatus_consumer.kafka import DeadLetterSender, GroupConsumer, Topics, clear_budget, end_offsets, new_client
from jobstatus_consumer.signals import handled_by, stop_once
from jobstatus_consumer.store import OverdueTable, ProjectingStore, store_of
from jobstatus_consumer.stream.caught_up import CaughtUp
from jobstatus_consumer.stream.garbage import few_collections
from jobstatus_consumer.stream.overdue import OverdueWatch
from jobstatus_consumer.stream.pipeline import Pipeline
from jobstatus_consumer.stream.readiness import wait_until_ready
from jobstatus_consumer.stream.run_stats import RunStats, Summary, Totals
from jobstatus_consumer.stream.settling import Settling
from jobstatus_consumer.stream.writer import Writer
from jobstatus_consumer.telemetry.http import Health, HealthServer
from jobstatus_consumer.telemetry.metrics import Metrics
from jobstatus_consumer.words import counted

logger = logging.getLogger("jobstatus.consumer")

CLOSE_SECONDS: Final = 2.0
ANSWER_WITHIN: Final = 20.0
"""In seconds. A broker is asked every 5 s, and has 10 s for an answer."""
SESSION_TIMEOUT_MS: Final = "45000"
"""Kafka's own default of `session.timeout.ms`."""
REBALANCE_SECONDS: Final = 15.0
"""How long a rebalance may take, after the session time-out of a member that is gone."""

MakeClient = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What is asked of one run only, and so is no setting."""

    until_caught_up: bool = False
    """end once everything that is in the topic at the start is written"""
    clear_dlq_budget: bool = False
    """count dead letters from zero, whatever an earlier run saved"""
    explicit_http: bool = False
    """the user gave the HTTP address, so it is an error if it is in use"""


def consume(
    settings: Settings,
    options: ConsumeOptions,
    *,
    topics: Topics | None = None,
    make_client: MakeClient = new_client,
) -> Summary:
    """Be a member of the group until SIGTERM or SIGINT, or until caught up. Blocks; for the main thread.

    Raises `StartError` where the topics, the tables or the database are not ready, and whatever stops the loop.
    `topics` and `make_client` replace the questions about topics and the Kafka client of the member.
    """
    stop = Event()
    with handled_by(stop_once(stop, _log_signal)):
        topics = topics or Topics(settings)
        try:
            wait_until_ready(settings, topics, stop)
        except StopRequestedError:
            return Totals().summary(0, 0)
        if options.clear_dlq_budget:
            _clear_budget(settings, topics)
        ends = end_offsets(settings, topics) if options.until_caught_up else None
        with few_collections():
            return ConsumerRun(settings, options, topics, make_client).run(stop, ends)


def _clear_budget(settings: Settings, topics: Topics) -> None:
    """Clear the count in all partitions: this run may have an event for few of them, and the next start reads all."""
    try:
        clear_budget(settings, topics)
    except StartError:
        logger.info(
            "the group %s has members: the count of dead letters is cleared in the partitions that this one gets",
            settings.group_id,
        )


class Member(NamedTuple):
    """One membership in the group. After its end, for any reason, nothing of it is used again."""

    consumer: GroupConsumer
    pipeline: Pipeline
    writer: Writer


class ConsumerRun:
    """One run: joins the group, and joins it again where an assignment failed. It knows what the probes report."""

    def __init__(self, settings: Settings, options: ConsumeOptions, topics: Topics, make_client: MakeClient) -> None:
        self._settings = settings
        self._options = options
        self._topics = topics
        self._make_client = make_client
        self._metrics = Metrics()
        self._stats = RunStats(self._metrics)
        self._budget = Budget(
            settings.dlq_budget_in_a_row, settings.dlq_budget_percent, start_anew=options.clear_dlq_budget
        )
        self._member: Member | None = None
        self._rejoin_reason = ""
        session_ms = float(settings.kafka.get("session.timeout.ms", SESSION_TIMEOUT_MS))
        self._rebalance_seconds = session_ms / 1000 + REBALANCE_SECONDS

    def run(self, stop: Event, ends: Mapping[int, int] | None) -> Summary:
        """Run until `stop` is set, or until everything before `ends` is written."""
        settings, started = self._settings, time.monotonic()
        server, watch = self._serve(), self._watch_overdue()
        logger.info("reading %s as %s, writing to %s", settings.topic, settings.group_id, settings.table)
        try:
            while not stop.is_set():
                self._rejoin_reason = self._run_member(stop, ends)
                if not self._rejoin_reason:
                    break
        finally:
            if server is not None:
                server.close()
            if watch is not None:
                watch.close()
        self._stats.flush()
        summary = self._stats.summary(time.monotonic() - started)
        logger.info(
            "done: %s in %s, %s, %.1f s",
            counted(summary.events, "event"),
            counted(summary.batches, "batch", "batches"),
            counted(summary.dead_letters, "dead letter"),
            summary.seconds,
        )
        return summary

    def _run_member(self, stop: Event, ends: Mapping[int, int] | None) -> str:
        """Run one membership. Return why to join the group again, or "" at the end of the run.

        The group is joined again where the broker gave no answer during an assignment, and where offsets were lost
        and the user accepts the loss: the next assignment decides for each partition where to continue.
        """
        with self._joined() as member:
            try:
                member.pipeline.run(_stop_condition(member, stop, ends))
            except BrokerAwayError as error:
                logger.warning("%s; nothing is lost; joining the group anew", error)
                reason = str(error)
            except OffsetsLostError as error:
                if self._settings.on_lost_offsets == "stop":
                    raise
                logger.warning("%s", error)
                reason = str(error)
            else:
                return ""
            # its writer ends now, and that is no reason to restart the process
            self._member, self._rejoin_reason = None, reason
            return reason

    @contextmanager
    def _joined(self) -> Iterator[Member]:
        settings = self._settings
        sender = DeadLetterSender(settings)
        store = store_of(settings)
        settling = Settling(store, self._stats.projected) if isinstance(store, ProjectingStore) else None
        writer = Writer(
            store, sender, self._budget, settings.group_id, settings.topic, table=settings.table, settling=settling
        )
        count = self._metrics.unreadable_headers.inc
        consumer = GroupConsumer(settings, self._topics, self._make_client, count_unreadable=count)
        pipeline = Pipeline(settings, consumer, writer, self._stats, self._budget)
        writer.start()
        self._member = Member(consumer, pipeline, writer)
        try:
            yield self._member
        finally:
            writer.close(CLOSE_SECONDS)
            sender.close()

    def health(self) -> Health:
        """What the probes report. Called from the thread of the HTTP server."""
        member, reason = self._member, self._rejoin_reason
        if member is None:
            return Health(
                writer_alive=True, poll_age=0.0, waiting_for=reason, waiting_seconds=0.0, assigned_partitions=0
            )
        now, pipeline = time.monotonic(), member.pipeline
        lag = pipeline.lag
        waiting_for, since = self._waiting_for(member, now)
        return Health(
            writer_alive=member.writer.alive,
            poll_age=round(now - pipeline.polled_at, 3),
            waiting_for=waiting_for or ("" if member.consumer.outside_since is None else reason),
            waiting_seconds=round(now - since, 3),
            assigned_partitions=len(pipeline.assignment.partitions),
            lag_events=lag.events,
            oldest_unwritten_seconds=round(lag.oldest_seconds, 3),
        )

    def _waiting_for(self, member: Member, now: float) -> tuple[str, float]:
        """What keeps events from being written, and since when (as `time.monotonic`); an empty text if nothing does."""
        outage, outside, answered = member.writer.outage, member.consumer.outside_since, self._topics.answered_at
        if outage is not None:
            return outage.reason, now - (time.time() - outage.since)
        if now - answered > ANSWER_WITHIN:
            return f"brokers: none has answered for {now - answered:.0f} s", answered
        if outside is not None and now - outside > self._rebalance_seconds:
            return f"group: no assignment for {now - outside:.0f} s", outside
        return "", now

    def _watch_overdue(self) -> OverdueWatch | None:
        """Count overdue jobs where there are deadlines and somebody may ask for the metric."""
        settings = self._settings
        if not settings.deadlines or settings.http_address == "off":
            return None
        table = OverdueTable(settings.database, settings.table)
        watch = OverdueWatch(table, settings.deadlines, self._metrics, self._has_first_partition)
        watch.start()
        return watch

    def _has_first_partition(self) -> bool:
        member = self._member
        return member is not None and 0 in member.pipeline.assignment.partitions

    def _serve(self) -> HealthServer | None:
        address = self._settings.http_address
        if address == "off":
            return None
        try:
            server = HealthServer(address, self._metrics.registry, self.health)
        except SettingsError as error:
            if self._options.explicit_http and not self._options.until_caught_up:
                raise
            # a second consumer on one machine: either the user did not ask for this default address, or it is a short
            # run beside a consumer that has the address already
            logger.warning("no metrics and health: %s", error)
            return None
        logger.info("metrics and health on %s (/metrics, /livez, /readyz)", server.url)
        return server


def _stop_condition(member: Member, stop: Event, ends: Mapping[int, int] | None) -> Callable[[], bool]:
    if ends is None:
        return stop.is_set
    caught_up = CaughtUp(ends, member.pipeline.assignment, member.consumer)
    return lambda: stop.is_set() or caught_up.reached()


def _log_signal(name: str) -> None:
    logger.info(
        "%s: writing and committing what was read, then stopping; a second signal ends the process at once", name
    )
