"""A log that lost its tail and grew again: nothing behind the cut is skipped, and rows of the lost tail are named.

Each partition is a case of its own, so that one broker is killed once for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition
from jobstatus_schemas import JobStatusEvent
from support.breakable import Breakable
from support.deployment import Deployment, deployment, made_events
from support.inside import run_inside
from support.lost_tails import lose_tails, produce_apart
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

READ = 30


class Case(NamedTuple):
    """One partition: it is read up to `READ`, cut at `cut`, and grows by `more`. The group's commit may be behind."""

    cut: int
    more: int
    committed: int = READ


CASES = {
    0: Case(cut=20, more=15),
    # it ends where it ended before
    1: Case(cut=20, more=10),
    # it has not grown again
    2: Case(cut=20, more=0),
    # a consumer was killed after a write and before its commit: only the database knows how far it was read
    3: Case(cut=27, more=9, committed=25),
    4: Case(cut=20, more=9, committed=25),
    5: Case(cut=READ, more=4),
}
CUTS = {number: case.cut for number, case in CASES.items() if case.cut < READ}


def named(prefix: str, partition: int, offsets: range) -> list[JobStatusEvent]:
    """Events of jobs that are named by their partition and the offset that they will have."""
    events = made_events(len(offsets), 1, seed=partition)
    return [
        event._replace(job_id=f"{prefix}-{partition}-{n}", status="done")
        for n, event in zip(offsets, events, strict=True)
    ]


def grow(deployed: Deployment, prefix: str) -> set[str]:
    """Put each case's new events on the topic; the names of their jobs."""
    jobs = set()
    for number, case in CASES.items():
        events = named(prefix, number, range(case.cut, case.cut + case.more))
        produce_apart(deployed.bootstrap, deployed.topic, number, events)
        jobs |= {event.job_id for event in events}
    return jobs


def fill(deployed: Deployment) -> None:
    for number in CASES:
        produce_apart(deployed.bootstrap, deployed.topic, number, named("first", number, range(READ)))


@pytest.fixture
def lost(breakable: Breakable, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with deployment(breakable.kafka.bootstrap_servers, database_url, tmp_path, partitions=len(CASES)) as found:
        fill(found)
        yield found


def commit_back(deployed: Deployment) -> None:
    """What a consumer leaves that was killed between its write and its commit; and for one partition, another tool."""
    consumer = Consumer({"bootstrap.servers": deployed.bootstrap, "group.id": deployed.group})
    wanted = [
        TopicPartition(deployed.topic, number, case.committed, leader_epoch=0 if number == 3 else -1)
        for number, case in CASES.items()
        if case.committed < READ
    ]
    consumer.commit(offsets=wanted, asynchronous=False)
    consumer.close()


def names(deployed: Deployment, prefix: str) -> set[str]:
    return {str(job) for (job,) in deployed.query("SELECT job_id FROM jobs WHERE starts_with(job_id, %s)", prefix)}


def lost_jobs() -> set[str]:
    return {f"first-{number}-{offset}" for number, cut in CUTS.items() for offset in range(cut, READ)}


def test_a_restarted_consumer_reads_what_is_behind_the_cut_and_verify_names_the_lost_rows(
    breakable: Breakable, lost: Deployment
) -> None:
    run_inside(lost, "consume", "--until-caught-up")
    commit_back(lost)
    lose_tails(breakable.kafka, lost.topic, CUTS)
    wanted = grow(lost, "second")
    done = run_inside(lost, "consume", "--until-caught-up")
    assert names(lost, "second") == wanted
    assert done.stderr.count("lost its tail") == len(CUTS), done.stderr
    assert "partition 5" not in done.stderr
    ends = {number: case.cut + case.more for number, case in CASES.items()}
    assert lost.committed() == lost.ends() == ends
    # what came later is read as well, also where the log had not grown yet, and the cut is not found again
    for number in CASES:
        produce_apart(lost.bootstrap, lost.topic, number, named("third", number, range(ends[number], ends[number] + 2)))
    again = run_inside(lost, "consume", "--until-caught-up", "--json")
    assert json.loads(again.stdout)["applied"] == 2 * len(CASES)
    assert "lost its tail" not in again.stderr
    found = json.loads(run_inside(lost, "verify", "--json").stdout)
    assert set(found["lost_tail"]) == lost_jobs()
    assert "from the tail that" in run_inside(lost, "verify").stdout


def test_a_running_consumer_writes_what_it_has_and_continues_behind_the_cut(
    breakable: Breakable, lost: Deployment
) -> None:
    consumer = lost.consumer("--batch-linger-seconds", "0.2")
    lost.caught_up()
    lose_tails(breakable.kafka, lost.topic, CUTS)
    wanted = grow(lost, "second")
    until(lambda: names(lost, "second") == wanted, "all behind the cuts is written", 120, every=0.3)
    consumer.says("lost its tail", count=len(CUTS))
    lost.caught_up()
    assert names(lost, "first") >= lost_jobs()
    assert consumer.stop() == 0
    assert "Traceback" not in consumer.text()


def test_where_no_epoch_is_known_the_consumer_stops_with_the_facts(breakable: Breakable, lost: Deployment) -> None:
    run_inside(lost, "consume", "--until-caught-up")
    # as an earlier version committed
    behind = Consumer({"bootstrap.servers": lost.bootstrap, "group.id": lost.group})
    behind.commit(offsets=[TopicPartition(lost.topic, n, READ) for n in CASES], asynchronous=False)
    behind.close()
    lost.query("UPDATE jobs_progress SET leader_epoch = NULL")
    lose_tails(breakable.kafka, lost.topic, {0: 20})
    done = run_inside(lost, "consume", "--until-caught-up", code=1)
    for words in ("was truncated", "offset 30", "ends at 20", "--on-lost-offsets earliest"):
        assert words in done.stderr, done.stderr
