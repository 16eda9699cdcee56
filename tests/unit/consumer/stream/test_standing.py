"""What the probes and the gauges say of a run, while it waits for different things and between two memberships."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from jobstatus_consumer.core import Budget
from jobstatus_consumer.stream.lag import Lag
from jobstatus_consumer.stream.outage import Outage
from jobstatus_consumer.stream.standing import ANSWER_WITHIN, Member, Standing
from jobstatus_consumer.telemetry.metrics import WAITING_FOR, Metrics

REBALANCE = 60.0


def part(**fields: Any) -> Any:
    return SimpleNamespace(**fields)


class Run:
    """A standing over parts that the test sets."""

    def __init__(self) -> None:
        self.topics = part(answered_at=time.monotonic(), watched_partitions=4)
        self.consumer = part(outside_since=None, broker_states=part(reachable=3))
        self.writer = part(outage=None, alive=True, settling=None)
        since = time.time() - 30
        lag = Lag({0: 5, 1: 0}, {0: since})
        assignment = part(partitions={0: None, 1: None})
        self.pipeline = part(lag=lag, assignment=assignment, polled_at=time.monotonic())
        self.standing = Standing(self.topics, REBALANCE)
        self.standing.member = Member(self.consumer, self.pipeline, self.writer)
        self.metrics = Metrics()
        self.standing.feed(self.metrics, Budget(10, 5.0))

    def waits_for(self) -> str:
        (word,) = [reason for (reason,), value in self.metrics.waiting_for.read().items() if value]
        return word


def test_a_consumer_that_writes_waits_for_nothing() -> None:
    run = Run()
    assert run.waits_for() == "none"
    assert [reason for (reason,) in run.metrics.waiting_for.read()] == list(WAITING_FOR)
    assert run.metrics.waiting_seconds.read() == {(): 0}
    assert run.standing.health().ready


@pytest.mark.parametrize("kind", ["database", "lock", "broker"])
def test_an_outage_of_the_writer_says_what_is_waited_for_and_for_how_long(kind: str) -> None:
    run = Run()
    run.writer.outage = Outage(time.time() - 40, "somebody: no answer", time.time() + 1, kind)
    assert run.waits_for() == kind
    assert run.metrics.waiting_seconds.read()[()] == pytest.approx(40, abs=5)
    assert run.standing.health().waiting_for == "somebody: no answer"


def test_brokers_that_do_not_answer_and_a_group_that_assigns_nothing_are_waited_for() -> None:
    run = Run()
    run.consumer.outside_since = time.monotonic() - REBALANCE - 5
    assert run.waits_for() == "group"
    run.topics.answered_at = time.monotonic() - ANSWER_WITHIN - 5
    assert run.waits_for() == "broker"
    assert run.standing.health().waiting_for.startswith("brokers: none has answered for ")


def test_the_lag_is_that_of_this_moment_and_ends_with_the_partition() -> None:
    run = Run()
    assert run.metrics.lag_events.read() == {("0",): 5, ("1",): 0}
    assert run.metrics.lag_seconds.read() == pytest.approx({("0",): 30, ("1",): 0}, abs=5)
    del run.pipeline.assignment.partitions[0]
    assert run.metrics.lag_events.read() == {("1",): 0}, "at once, although nothing was measured again"
    assert set(run.metrics.lag_seconds.read()) == {("1",)}


def test_between_two_memberships_no_partition_is_ours_and_the_other_series_stay() -> None:
    run = Run()
    run.standing.member, run.standing.rejoin_reason = None, "no answer of the group"
    assert run.waits_for() == "group"
    assert run.metrics.lag_events.read() == {}
    for gauge in (run.metrics.partitions, run.metrics.brokers_reachable, run.metrics.target_waiting):
        assert gauge.read() == {(): 0}
    assert run.metrics.topic_partitions.read() == {(): 4}
    assert not run.standing.health().ready


def test_the_used_part_of_the_budget_is_that_of_the_nearer_limit() -> None:
    budget = Budget(10, 5.0)
    budget.charge(0, 4)
    assert budget.used == pytest.approx(0.4)
    budget.charge(1, 0)
    assert budget.used == pytest.approx(0.004), "four of the thousand after which the share counts"
