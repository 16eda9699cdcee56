"""The flush `adaptive` on a real broker and a real PostgreSQL."""

from __future__ import annotations

import signal

import pytest
from support.deployment import Deployment, made_events
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

BURST = 1000
FEWEST = BURST // 50
"""Transactions, with batches of 50."""


@pytest.mark.parametrize("in_flight", ["1", "4"])
def test_a_lone_event_does_not_wait_for_the_linger_and_a_burst_is_written_in_few_transactions(
    deployed: Deployment, in_flight: str
) -> None:
    flush = ("--batch-flush", "adaptive", "--batch-linger-seconds", "60", "--batches-in-flight", in_flight)
    consumer = deployed.consumer(*flush)
    # what was in the log before the assignment waits for no linger in any case
    deployed.produce_events(made_events(1, 1, prefix="first"))
    deployed.caught_up()
    deployed.produce_events(made_events(1, 1, prefix="lone"))
    until(lambda: "lone-0" in deployed.rows(), "the lone event's row, long before the linger", timeout=50)

    consumer.signal(signal.SIGSTOP)
    deployed.produce_events(made_events(BURST, BURST, prefix="burst"))
    consumer.signal(signal.SIGCONT)
    deployed.caught_up()
    ((transactions,),) = deployed.query("SELECT count(DISTINCT xmin::text) FROM jobs WHERE job_id LIKE 'burst-%'")
    # the client's queue may run empty for moments, each of which ends a batch before it is full
    assert FEWEST <= transactions <= BURST // 5
    deployed.assert_exact()
    assert consumer.stop() == 0
    assert deployed.lag() == 0
