"""How a run stands at this moment: what the probes answer, and what the gauges show.

Everything here is called from the threads of the HTTP server, and only reads what the loop and the writer keep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

from jobstatus_consumer.core import Budget
from jobstatus_consumer.kafka import GroupConsumer, Topics
from jobstatus_consumer.stream.lag import Lag
from jobstatus_consumer.stream.outage import Outage
from jobstatus_consumer.stream.pipeline import Pipeline
from jobstatus_consumer.stream.schemas import AskedSchemas
from jobstatus_consumer.stream.writer import Writer
from jobstatus_consumer.telemetry.families import Labels
from jobstatus_consumer.telemetry.http import Health
from jobstatus_consumer.telemetry.metrics import WAITING_FOR, Metrics

ANSWER_WITHIN: Final = 20.0
"""In seconds. A broker is asked every 5 s, and has 10 s for an answer."""
NOTHING: Final = Lag({}, {})

Number = TypeVar("Number", int, float)


class Member(NamedTuple):
    """One membership in the group. After its end, for any reason, nothing of it is used again."""

    consumer: GroupConsumer
    pipeline: Pipeline
    writer: Writer
    schemas: AskedSchemas | None = None

    @property
    def outage(self) -> Outage | None:
        """What one of its threads waits for."""
        return self.writer.outage or (None if self.schemas is None else self.schemas.outage)


class Waiting(NamedTuple):
    """What keeps events from being written: a word of `WAITING_FOR`, a text for a person, and for how many seconds."""

    kind: str = "none"
    what: str = ""
    seconds: float = 0.0


class Standing:
    """What is known of a run. `member` is None between two memberships, and `rejoin_reason` says why then."""

    def __init__(self, topics: Topics, rebalance_seconds: float) -> None:
        self._topics = topics
        self._rebalance_seconds = rebalance_seconds
        self.member: Member | None = None
        self.rejoin_reason = ""

    def health(self) -> Health:
        """What the probes report."""
        member, reason = self.member, self.rejoin_reason
        if member is None:
            return Health(
                writer_alive=True, poll_age=0.0, waiting_for=reason, waiting_seconds=0.0, assigned_partitions=0
            )
        pipeline, waiting = member.pipeline, self.waiting()
        lag = pipeline.lag
        return Health(
            writer_alive=member.writer.alive,
            poll_age=round(time.monotonic() - pipeline.polled_at, 3),
            waiting_for=waiting.what or ("" if member.consumer.outside_since is None else reason),
            waiting_seconds=round(waiting.seconds, 3),
            assigned_partitions=len(pipeline.assignment.partitions),
            lag_events=lag.events,
            oldest_unwritten_seconds=round(lag.oldest_seconds(time.time()), 3),
        )

    def waiting(self) -> Waiting:
        """What the run waits for now."""
        member, now = self.member, time.monotonic()
        if member is None:
            return Waiting("group", self.rejoin_reason) if self.rejoin_reason else Waiting()
        outage, outside = member.outage, member.consumer.outside_since
        if outage is not None:
            return Waiting(outage.kind, outage.reason, max(0.0, time.time() - outage.since))
        silent = now - self._topics.answered_at
        if silent > ANSWER_WITHIN:
            return Waiting("broker", f"brokers: none has answered for {silent:.0f} s", silent)
        if outside is not None and now - outside > self._rebalance_seconds:
            return Waiting("group", f"group: no assignment for {now - outside:.0f} s", now - outside)
        return Waiting()

    def has_first_partition(self) -> bool:
        """Whether this member is the one of its group that has partition 0."""
        member = self.member
        return member is not None and 0 in member.pipeline.assignment.partitions

    def feed(self, metrics: Metrics, budget: Budget) -> None:
        """Have the gauges read from here."""
        metrics.lag_events.read = lambda: self._assigned(lambda lag: lag.by_partition)
        metrics.lag_seconds.read = lambda: self._assigned(lambda lag: lag.seconds(time.time()))
        metrics.waiting_for.read = lambda: _one_of(WAITING_FOR, self.waiting().kind)
        metrics.waiting_seconds.read = lambda: {(): self.waiting().seconds}
        metrics.partitions.read = lambda: {(): self.health().assigned_partitions}
        metrics.topic_partitions.read = self._topic_partitions
        metrics.brokers_reachable.read = lambda: {(): self._reachable()}
        metrics.certificate_expiry.read = self._certificate_expiry
        metrics.budget_used.read = lambda: {(): budget.used}
        metrics.target_waiting.read = lambda: {(): self._settling()[0]}
        metrics.target_oldest_waiting.read = lambda: {(): self._settling()[1]}

    def _assigned(self, what: Callable[[Lag], Mapping[int, Number]]) -> dict[Labels, float]:
        """By partition; without those that were given up since the lag was measured."""
        member = self.member
        if member is None:
            return {}
        partitions = member.pipeline.assignment.partitions
        return {(str(number),): value for number, value in what(member.pipeline.lag).items() if number in partitions}

    def _topic_partitions(self) -> dict[Labels, float]:
        found = self._topics.watched_partitions
        return {} if found is None else {(): found}

    def _certificate_expiry(self) -> dict[Labels, float]:
        found = None if self.member is None else self.member.consumer.certificate_expires_at
        return {} if found is None else {(): found}

    def _reachable(self) -> int:
        return 0 if self.member is None else self.member.consumer.broker_states.reachable

    def _settling(self) -> tuple[int, float]:
        settling = None if self.member is None else self.member.writer.settling
        return (0, 0.0) if settling is None else (settling.waiting, settling.oldest_seconds)


def _one_of(words: tuple[str, ...], word: str) -> dict[Labels, float]:
    return {(each,): float(each == word) for each in words}
