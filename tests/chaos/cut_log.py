"""A log that loses its tail: a topic with one copy, of which a broker is killed, cut and started again.

It has a group and a table of its own, so that the run's model need not know of the loss. Every acknowledged event is
known here. Those of the cut tail, and only those, are excused from the log; their rows must be named by `verify`.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psycopg
from jobstatus_schemas import JobStatusEvent
from support.deployment import ConsumerProcess, Deployment, events_of, made_events
from support.lost_tails import cut_tail, produce_apart
from support.waiting import until

from chaos.findings import EXIT_CODE, LOST_BY_THE_LOG, TAIL_NOT_NAMED, TAIL_SKIPPED, Findings
from chaos.stage import Stage

READ: Final = 24
"""Events before the cut, all of them written."""
WRITTEN_WITHIN: Final = 120.0
AT_THE_CUT: Final = ("reads on", "is stopped", "is killed")
"""What the consumer does at the cut."""


@dataclass
class CutLog:
    """The log before and after: each event by its job, as acknowledged."""

    first: Mapping[str, JobStatusEvent]
    lost: Collection[str]
    """jobs whose event the cut has taken"""
    second: dict[str, JobStatusEvent] = field(default_factory=dict)
    """what came later; some of it for jobs of the lost tail"""

    @property
    def kept(self) -> set[str]:
        """The ids of the events that the log must still have."""
        rest = (event for job, event in self.first.items() if job not in self.lost)
        return {event.event_id for event in (*rest, *self.second.values())}

    @property
    def rows(self) -> dict[str, str]:
        """The event that each job's row must show: what was read of the lost tail stays."""
        return {job: event.event_id for job, event in {**self.first, **self.second}.items()}

    @property
    def to_name(self) -> set[str]:
        """The jobs whose rows are still from the lost tail."""
        return set(self.lost) - self.second.keys()


def _named(jobs: Iterable[str], seed: int) -> dict[str, JobStatusEvent]:
    names = list(jobs)
    events = made_events(len(names), 1, seed=seed)
    return {job: event._replace(job_id=job) for job, event in zip(names, events, strict=True)}


def cut(stage: Stage, deployed: Deployment, chance: random.Random, findings: Findings) -> float:
    """Play it once. Returns when the broker was killed."""
    name = f"cut{uuid.uuid4().hex[:8]}"
    folder = deployed.folder / name
    folder.mkdir()
    own = replace(deployed, topic=name, group=name, table=name, partitions=1, folder=folder, consumers=[])
    own.run("topics", "create", "--partitions", "1", "--replication", "1")
    until(lambda: own.run("migrate", code=None).returncode == 0, "the table is made", every=0.5)
    try:
        return _play(stage, own, chance, findings)
    finally:
        own.close()


def _play(stage: Stage, own: Deployment, chance: random.Random, findings: Findings) -> float:
    at, then = chance.randrange(READ - 12, READ - 2), chance.choice(AT_THE_CUT)
    first = _named((f"first-{number}" for number in range(READ)), chance.randrange(1 << 30))
    log = CutLog(first, list(first)[at:])
    consumer = _consumer(own)
    produce_apart(own.bootstrap, own.topic, 0, first.values())
    _written(own, log)
    if then == "is stopped":
        consumer.stop()
    elif then == "is killed":
        consumer.kill()
    killed = _lose(stage, own, at)
    # fewer than were lost, or more: the log may end before the commit or behind it
    jobs = [*list(log.lost)[::2], *(f"second-{number}" for number in range(chance.randrange(READ)))]
    log.second = _named(jobs, chance.randrange(1 << 30))
    produce_apart(own.bootstrap, own.topic, 0, log.second.values())
    if then != "reads on":
        consumer = _consumer(own)
    _check(own, log, f"{own.topic}, cut at {at}, the consumer {then}", findings)
    if (code := consumer.stop(60)) != 0:
        findings.add(EXIT_CODE, own.topic, f"{own.topic}: {code}: {_last_words(own)}")
    return killed


def _consumer(own: Deployment) -> ConsumerProcess:
    return own.consumer("--batch-linger-seconds", "0.2", "--wait-for-database", "120", wait=False)


def _lose(stage: Stage, own: Deployment, at: int) -> float:
    (node,) = (node for node in stage.kafka.nodes if any(node.data_dir.rglob(f"{own.topic}-0/*.log")))
    node.kill()
    killed = time.monotonic()
    cut_tail(node, own.topic, 0, at)
    node.start(120)
    stage.in_step()
    return killed


def _rows(own: Deployment) -> dict[str, str]:
    try:
        return {str(job): str(event_id) for job, event_id in own.query(f"SELECT job_id, event_id FROM {own.table}")}
    except psycopg.Error:
        # another fault has the database
        return {}


def _written(own: Deployment, log: CutLog) -> bool:
    try:
        return until(lambda: _rows(own) == log.rows, "rows", WRITTEN_WITHIN, every=0.2)
    except AssertionError:
        return False


def _check(own: Deployment, log: CutLog, where: str, findings: Findings) -> None:
    if not _written(own, log):
        found = _rows(own)
        wrong = sorted(job for job, event_id in log.rows.items() if found.get(job) != event_id)
        findings.add(TAIL_SKIPPED, where, f"{where}: {len(wrong)} rows, such as {wrong[:3]}: {_last_words(own)}")
    there = {event.content.event_id for event in events_of(own.records())}
    if missing := log.kept - there:
        findings.add(LOST_BY_THE_LOG, where, f"{where}: {len(missing)} events, such as {sorted(missing)[:3]}")
    report = until(lambda: _verified(own), "verify has an answer", 120, every=0.5) or {}
    if set(report["lost_tail"]) != log.to_name or report["findings"]:
        findings.add(TAIL_NOT_NAMED, where, f"{where}: {sorted(log.to_name)} is not {report}")


def _verified(own: Deployment) -> dict[str, Any] | None:
    done = own.run("verify", "--json", code=None)
    if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
        return None
    report: dict[str, Any] = json.loads(done.stdout)
    return report if report["complete"] else None


def _last_words(own: Deployment) -> str:
    return " | ".join(own.consumers[-1].text().splitlines()[-6:])
