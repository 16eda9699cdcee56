"""One run's own things on a stage: topics, a database, consumers, workers, and whoever looks at them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from support.deployment import Deployment
from support.waiting import until

from chaos.application import Application, set_up
from chaos.ends import Endings
from chaos.findings import Findings
from chaos.fleet import Fleet
from chaos.options import Options
from chaos.poison import CONSTRAINT, REFUSED_STATUS
from chaos.samples import CommitSampler, EndSampler, RowSampler, Timeline
from chaos.stage import Stage, session
from chaos.tail import Ends, Tail
from chaos.workers import Workers

PARTITIONS: Final = 6
MEMBERS: Final = 3
CLASSIC_ONLY: Final = ("JOBSTATUS_KAFKA_SESSION_TIMEOUT_MS", "JOBSTATUS_KAFKA_HEARTBEAT_INTERVAL_MS")
PROTOCOLS: Final[dict[str, dict[str, str]]] = {
    "cooperative-sticky": {},
    "range": {"JOBSTATUS_KAFKA_PARTITION_ASSIGNMENT_STRATEGY": "range"},
    "consumer": {"JOBSTATUS_KAFKA_GROUP_PROTOCOL": "consumer"},
}


@dataclass
class World:
    """What faults take hold of and samplers look at. `url` leads past the proxy; consumers go through it."""

    stage: Stage
    deployed: Deployment
    findings: Findings
    fleet: Fleet
    workers: Workers
    endings: Endings
    application: Application | None
    """the owner of a table that the consumers write as well; None in a run without a target"""
    ends: EndSampler
    rows: RowSampler
    commits: CommitSampler
    topic_id: str
    longer: float
    protocols: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.deployed.database_url

    def use(self, protocol: str) -> None:
        """Stop all members and start them with another protocol."""
        self.fleet.stop()
        self.fleet.start(MEMBERS, member_environ(self.deployed, self.stage, protocol))
        self.protocols.append(protocol)

    def set_back(self) -> None:
        """Stop the group, set its offsets to 0, and start it again: every event comes once more."""
        self.fleet.stop()
        admin = AdminClient({"bootstrap.servers": self.deployed.bootstrap, "log_level": 0})
        until(lambda: _set_to_zero(admin, self.deployed), "the group's offsets are set back", 60, every=0.3)
        self.fleet.start(MEMBERS)


def _set_to_zero(admin: AdminClient, deployed: Deployment) -> bool:
    wanted = [TopicPartition(deployed.topic, number, 0) for number in range(PARTITIONS)]
    try:
        answer = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(deployed.group, wanted)])
        done = answer[deployed.group].result(20)
    except KafkaException:
        return False
    return all(item.error is None for item in done.topic_partitions or ())


def member_environ(deployed: Deployment, stage: Stage, protocol: str) -> dict[str, str]:
    """The environment of a consumer that reaches the database through the proxy."""
    environ = {**deployed.environ, **PROTOCOLS[protocol]}
    environ["JOBSTATUS_HTTP_ADDRESS"] = "127.0.0.1:0"
    environ["JOBSTATUS_DATABASE_URL"] = stage.proxy.through(deployed.database_url)
    # the broker sets these with KIP-848
    dropped = CLASSIC_ONLY if protocol == "consumer" else ()
    return {name: value for name, value in environ.items() if name not in dropped}


def _deployment(stage: Stage, folder: Path, *, target: bool) -> Deployment:
    name = uuid.uuid4().hex[:10]
    url = stage.postgres.create_database(f"chaos_{name}")
    found = Deployment(
        stage.kafka.bootstrap_servers, url, f"chaos-{name}", f"chaos-{name}", folder, partitions=PARTITIONS
    )
    if target:
        found.more["JOBSTATUS_TARGET"] = set_up(url, folder)
    found.run("topics", "create", "--partitions", str(PARTITIONS), "--replication", "3")
    found.run("migrate")
    with session(url) as connection:
        connection.execute(f"ALTER TABLE jobs ADD CONSTRAINT {CONSTRAINT} CHECK (status <> '{REFUSED_STATUS}')")
    return found


def tails(deployed: Deployment, topic_id: str) -> tuple[Tail, Tail]:
    """Readers of the topic and of its dead letters, from their beginnings."""
    events = Tail(deployed.bootstrap, deployed.topic, topic_id, PARTITIONS)
    return events, Tail(deployed.bootstrap, f"{deployed.topic}.dlq", topic_id, PARTITIONS)


@contextmanager
def a_world(stage: Stage, folder: Path, options: Options) -> Iterator[World]:
    """A running deployment, of which no process is left at the end."""
    protocol = options.protocols[0]
    deployed = _deployment(stage, folder, target=options.target)
    topic_id = deployed.topic_id()
    findings, timeline = Findings(), Timeline()
    ends = EndSampler(Ends(deployed.bootstrap, deployed.topic, PARTITIONS), timeline)
    with ExitStack() as on_exit:
        rows = RowSampler(deployed.database_url, timeline, findings)
        on_exit.callback(rows.close)
        commits = CommitSampler(
            deployed.database_url, deployed.group, tails(deployed, topic_id), deployed.bootstrap, findings
        )
        on_exit.callback(commits.close)
        fleet = Fleet(folder, findings, options.command, options.arguments, options.windows, options.flushes)
        on_exit.callback(fleet.close)
        fleet.start(MEMBERS, member_environ(deployed, stage, protocol))
        workers = Workers(deployed.bootstrap, deployed.topic, folder, options.seed, options.rate, options.poison_share)
        on_exit.callback(workers.close)
        endings = Endings(folder, workers.environ, findings)
        application = Application(deployed.database_url, options.seed, findings) if options.target else None
        if application is not None:
            on_exit.callback(application.close)
        yield World(
            stage,
            deployed,
            findings,
            fleet,
            workers,
            endings,
            application,
            ends,
            rows,
            commits,
            topic_id,
            options.longer,
            [protocol],
        )
