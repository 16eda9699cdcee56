"""One run of `jobstatus consume`: from the checks at the start, through one or more memberships, to the summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, Final

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Budget
from jobstatus_consumer.errors import BrokerAwayError, OffsetsLostError, SettingsError, StartError, StopRequestedError
from jobstatus_consumer.interpreter import long_running
from jobstatus_consumer.kafka import (
    DeadLetterSender,
    GroupConsumer,
    MemberCounts,
    Topics,
    clear_budget,
    end_offsets,
    new_client,
)
from jobstatus_consumer.signals import stopped_by_signals
from jobstatus_consumer.store import ProjectingStore, WatchedTable, store_of
from jobstatus_consumer.stream.caught_up import CaughtUp
from jobstatus_consumer.stream.pipeline import Pipeline
from jobstatus_consumer.stream.questions import SlowQuestions
from jobstatus_consumer.stream.readiness import wait_until_ready
from jobstatus_consumer.stream.run_stats import RunStats, Summary, Totals
from jobstatus_consumer.stream.schemas import asked_schemas
from jobstatus_consumer.stream.settling import Settling
from jobstatus_consumer.stream.standing import Member, Standing
from jobstatus_consumer.stream.writer import Writer
from jobstatus_consumer.telemetry.families import Labels
from jobstatus_consumer.telemetry.http import HealthServer
from jobstatus_consumer.telemetry.metrics import Metrics
from jobstatus_consumer.words import counted

logger = logging.getLogger("jobstatus.consumer")

CLOSE_SECONDS: Final = 2.0
SESSION_TIMEOUT_MS: Final = "45000"
"""Kafka's own default of `session.timeout.ms`."""
REBALANCE_SECONDS: Final = 15.0
"""How long a rebalance may take, after the session time-out of a member that is gone."""
TRY_FILES_EVERY: Final = 1.0
"""Seconds between two tries to make clients of files that cannot be used now."""

ROWS_EVERY: Final = 60.0
OVERDUE_EVERY: Final = 30.0
LETTERS_EVERY: Final = 60.0
"""Seconds between two questions for a metric, if they are answered quickly."""

MakeClient = Callable[[dict[str, Any]], Any]
CountLetters = Callable[[Callable[[], bool]], int]
"""Returns the number of open dead letters. It may block for some seconds, until its argument returns True."""


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
    count_letters: CountLetters | None = None,
) -> Summary:
    """Be a member of the group until SIGTERM or SIGINT, or until caught up. Blocks; for the main thread.

    Raises `StartError` where the topics, the tables or the database are not ready, and whatever stops the loop.
    `topics` and `make_client` replace the questions about topics and the Kafka client of the member. `count_letters`
    counts open dead letters for the metric, which has no series without it.
    """
    stop = Event()
    with stopped_by_signals(stop, _log_signal):
        topics = topics or Topics(settings)
        try:
            wait_until_ready(settings, topics, stop)
        except StopRequestedError:
            return Totals().summary(0, 0)
        if options.clear_dlq_budget:
            _clear_budget(settings, topics)
        ends = end_offsets(settings, topics) if options.until_caught_up else None
        with long_running():
            return ConsumerRun(settings, options, topics, make_client, count_letters).run(stop, ends)


def _clear_budget(settings: Settings, topics: Topics) -> None:
    """Clear the count in all partitions: this run may have an event for few of them, and the next start reads all."""
    try:
        clear_budget(settings, topics)
    except StartError:
        logger.info(
            "the group %s has members: the count of dead letters is cleared in the partitions that this one gets",
            settings.group_id,
        )


class ConsumerRun:
    """One run: joins the group, and joins it again where an assignment failed."""

    def __init__(
        self,
        settings: Settings,
        options: ConsumeOptions,
        topics: Topics,
        make_client: MakeClient,
        count_letters: CountLetters | None,
    ) -> None:
        self._settings = settings
        self._options = options
        self._topics = topics
        self._make_client = make_client
        self._count_letters = count_letters
        self._metrics = Metrics(settings.topic, settings.group_id)
        self._stats = RunStats(self._metrics)
        self._budget = Budget(
            settings.dlq_budget_in_a_row, settings.dlq_budget_percent, start_anew=options.clear_dlq_budget
        )
        session_ms = float(settings.kafka.get("session.timeout.ms", SESSION_TIMEOUT_MS))
        self._standing = Standing(topics, session_ms / 1000 + REBALANCE_SECONDS)
        self._standing.feed(self._metrics, self._budget)
        self._has_joined = False

    def run(self, stop: Event, ends: Mapping[int, int] | None) -> Summary:
        """Run until `stop` is set, or until everything before `ends` is written."""
        settings, started = self._settings, time.monotonic()
        server, questions = self._serve(), self._ask_questions()
        logger.info("reading %s as %s, writing to %s", settings.topic, settings.group_id, settings.table)
        if settings.batches_in_flight > 1 and settings.prepared_statements == "off":
            logger.warning(
                "JOBSTATUS_BATCHES_IN_FLIGHT has no effect: JOBSTATUS_PREPARED_STATEMENTS is off, for a pooler that "
                "may give each transaction another session, so one batch is on its way at a time"
            )
        try:
            while not stop.is_set():
                clients = self._kafka_clients(stop)
                self._standing.rejoin_reason = "" if clients is None else self._run_member(*clients, stop, ends)
                if not self._standing.rejoin_reason:
                    break
        finally:
            if server is not None:
                server.close()
            if questions is not None:
                questions.close()
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

    def _kafka_clients(self, stop: Event) -> tuple[GroupConsumer, DeadLetterSender] | None:
        """The clients of one membership; None after a stop. Raises `SettingsError` at the first membership only.

        Later it blocks instead: the settings were accepted before, so it is what a file or a function gives now.
        """
        settings = self._settings
        while True:
            try:
                # first: a group's consumer has to be closed, and could not be if this fails
                sender = DeadLetterSender(settings)
                consumer = GroupConsumer(settings, self._topics, self._make_client, counts=self._member_counts())
                return consumer, sender
            except SettingsError as error:
                if not self._has_joined:
                    raise
                self._standing.rejoin_reason = str(error)
                logger.warning("%s. The group is not joined without it; trying again", error)
            if stop.wait(TRY_FILES_EVERY):
                return None

    def _run_member(
        self, consumer: GroupConsumer, sender: DeadLetterSender, stop: Event, ends: Mapping[int, int] | None
    ) -> str:
        """Run one membership. Return why to join the group again, or "" at the end of the run.

        The group is joined again where the broker gave no answer during an assignment, where offsets were lost and
        the user accepts the loss, and with new certificates: the next assignment decides for each partition where to
        continue.
        """
        with self._joined(consumer, sender) as member:
            self._has_joined = True
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
                if stop.is_set() or not member.consumer.has_new_certificates:
                    return ""
                reason = "the certificates have changed"
                logger.info("%s, and a broker accepts the new ones; joining the group anew with them", reason)
            # its writer ends now, and that is no reason to restart the process
            self._standing.member, self._standing.rejoin_reason = None, reason
            return reason

    @contextmanager
    def _joined(self, consumer: GroupConsumer, sender: DeadLetterSender) -> Iterator[Member]:
        settings = self._settings
        store = store_of(settings, settings.group_id)
        settling = Settling(store, self._stats.projected) if isinstance(store, ProjectingStore) else None
        writer = Writer(
            store,
            sender,
            self._budget,
            settings.group_id,
            settings.topic,
            table=settings.table,
            settling=settling,
            count_connection=self._metrics.connections.inc,
            several=settings.batches_in_flight,
        )
        schemas = asked_schemas(settings)
        pipeline = Pipeline(settings, consumer, writer, self._stats, self._budget, schemas=schemas)
        # from the last end to the first, and each comes although another one fails
        with ExitStack() as ends:
            if schemas is not None:
                ends.callback(schemas.close, CLOSE_SECONDS)
            ends.callback(sender.close)
            ends.callback(writer.close, CLOSE_SECONDS)
            if schemas is not None:
                ends.callback(schemas.stop)  # its question ends while the writer does
            writer.start()
            member = self._standing.member = Member(consumer, pipeline, writer, schemas)
            yield member

    def _member_counts(self) -> MemberCounts:
        metrics = self._metrics
        return MemberCounts(
            unreadable_headers=metrics.unreadable_headers.inc,
            commit=lambda outcome: metrics.commits.labels(outcome).inc(),
            rebalance=metrics.rebalances.inc,
        )

    def _ask_questions(self) -> SlowQuestions | None:
        """Ask for the slow metrics, where somebody may ask for them."""
        settings, metrics, count_letters = self._settings, self._metrics, self._count_letters
        if settings.http_address == "off":
            return None
        table = WatchedTable(settings.database, settings.table)
        found = SlowQuestions(self._standing.has_first_partition, table.cancel, table.close)
        found.add("rows by status", metrics.rows, lambda: _by_word(table.estimated_by_status()), ROWS_EVERY)
        if settings.deadlines:
            overdue = partial(table.overdue, settings.deadlines)
            found.add("overdue jobs", metrics.overdue, lambda: _by_word(overdue(time.time())), OVERDUE_EVERY)
        if count_letters is not None:
            count = partial(count_letters, lambda: found.stopping)
            found.add("open dead letters", metrics.open_letters, lambda: {(): count()}, LETTERS_EVERY)
        found.start()
        return found

    def _serve(self) -> HealthServer | None:
        address = self._settings.http_address
        if address == "off":
            return None
        try:
            server = HealthServer(address, self._metrics.registry, self._standing.health)
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
    consumer = member.consumer
    if ends is None:
        return lambda: stop.is_set() or consumer.has_new_certificates
    caught_up = CaughtUp(ends, member.pipeline.assignment, consumer)
    return lambda: stop.is_set() or consumer.has_new_certificates or caught_up.reached()


def _log_signal(name: str) -> None:
    logger.info(
        "%s: writing and committing what was read, then stopping; a second signal ends the process at once", name
    )


def _by_word(counts: Mapping[str, float]) -> dict[Labels, float]:
    return {(word,): count for word, count in counts.items()}
