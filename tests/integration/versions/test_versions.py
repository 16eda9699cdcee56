"""`make matrix`: each step on every supported Kafka with our PostgreSQL, and on every PostgreSQL with our Kafka."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from confluent_kafka import Producer
from integration.operations.test_own_table import Own
from jobstatus_reader import JobStatusReader
from jobstatus_schemas import JobStatusEvent, encode
from support.console import running_console
from support.deployment import Deployment, deployment, made_events
from support.inside import run_inside
from support.versions import PAIRS, Servers, keep, servers
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.long]

WORKS: Final = "works"
REFUSED: Final = "refused"
DAY: Final = 86_400_000_000
PAGES: Final = ("/", "/jobs", "/stuck", "/dead-letters", "/consumers", "/verify", "/audit", "/metrics")


def asked(deployed: Deployment, *arguments: str) -> dict[str, Any]:
    """A command's answer."""
    found: dict[str, Any] = json.loads(run_inside(deployed, *arguments, "--json").stdout.splitlines()[-1])
    return found


def migrate(deployed: Deployment) -> str:
    """The fixture has made topics and tables; a second time changes nothing, and nothing is missing."""
    before = deployed.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
    for command in (("topics", "create", "--partitions", "4", "--replication", "1"), ("migrate",)):
        run_inside(deployed, *command)
    assert "all is ready" in run_inside(deployed, "check").stdout
    after = deployed.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
    assert after == before
    return WORKS


def write(deployed: Deployment) -> str:
    """A backlog, part of it in a transaction and part of it aborted, and again for another group."""
    events = made_events(2_000, 300)
    deployed.produce_events(events[:1_000])
    producer = Producer({"bootstrap.servers": deployed.bootstrap, "transactional.id": deployed.topic})
    producer.init_transactions(30)
    for end, some in ((producer.commit_transaction, events[1_000:]), (producer.abort_transaction, events[:100])):
        producer.begin_transaction()
        for item in some:
            producer.produce(deployed.topic, key=item.job_id, value=encode(item))
        # the broker knows nothing to abort before a record has arrived
        producer.flush(30)
        end(30)
    assert deployed.drain()["events"] == len(events)
    deployed.assert_exact()
    before = deployed.rows()
    assert deployed.drain(JOBSTATUS_GROUP_ID=f"{deployed.group}-2")["applied"] == 0
    assert deployed.rows() == before
    return WORKS


def kill(deployed: Deployment) -> str:
    """A consumer is killed in the middle of its work, and another one takes over."""
    deployed.produce_events(made_events(2_000, 300))
    first = deployed.consumer()
    until(lambda: deployed.query("SELECT 1 FROM jobs LIMIT 1"), "the first rows")
    first.kill()
    deployed.produce_events(made_events(2_000, 300, seed=2, start=2_000))
    second = deployed.consumer()
    deployed.caught_up()
    assert second.stop() == 0
    deployed.assert_exact()
    return WORKS


def share(deployed: Deployment) -> str:
    """Two consumers share the partitions; one leaves, and the other has them all."""
    first, second = deployed.consumer(), deployed.consumer()
    deployed.produce_events(made_events(1_000, 200))
    second.says("got partitions")
    assert first.stop() == 0
    deployed.produce_events(made_events(1_000, 200, seed=2, start=1_000))
    deployed.caught_up()
    assert second.stop() == 0
    deployed.assert_exact()
    return WORKS


def replay(deployed: Deployment) -> str:
    """Rows that were lost come back, also in another table; verify finds nothing wrong after it, and did before."""
    deployed.produce_events(made_events(1_000, 200))
    deployed.drain()
    deployed.query("DELETE FROM jobs WHERE hashtext(job_id) % 2 = 0")
    run_inside(deployed, "verify", code=1)
    asked(deployed, "replay", "--yes")
    deployed.assert_exact()
    run_inside(deployed, "verify")
    asked(deployed, "replay", "--into", "rebuilt", "--yes")
    assert deployed.query("SELECT count(*) FROM rebuilt") == deployed.query("SELECT count(*) FROM jobs")
    return WORKS


def redrive(deployed: Deployment) -> str:
    """What the database refuses becomes a dead letter, and is written once the cause is mended."""
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    deployed.produce_events(made_events(400, 400))
    deployed.produce([("job-0", b"rubbish", ())])
    assert deployed.drain()["dead_letters"] > 1
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")
    done = asked(deployed, "dlq", "redrive", "--stage", "write", "--yes")
    assert (done["failed_again"], done["applied"] > 0) == ({}, True)
    deployed.assert_exact()
    assert asked(deployed, "dlq", "list", "--stage", "write")["open"] == 0
    return WORKS


def look(deployed: Deployment) -> str:
    """What an operator asks: status, history, stuck, offsets, and the reader of a program."""
    events = made_events(200, 50)
    deployed.produce_events(events)
    deployed.drain()
    assert sum(asked(deployed, "status")["rows"].values()) == len(deployed.rows())
    job = events[0].job_id
    history = asked(deployed, "history", job)
    assert len(history["events"]) == sum(item.job_id == job for item in events)
    run_inside(deployed, "stuck", JOBSTATUS_DEADLINES="processing=1s", code=None)
    run_inside(deployed, "offsets", "show")
    with JobStatusReader(deployed.database_url) as reader:
        assert reader.await_status(job, deployed.rows()[job].status or "").job_id == job
    return WORKS


def purge(deployed: Deployment) -> str:
    """Old jobs are removed, and a replay does not bring them back."""
    old = [
        JobStatusEvent(
            str(uuid.uuid4()), f"old-{number}", "success", None, None, "w", int(time.time() * 1e6) - 40 * DAY
        )
        for number in range(50)
    ]
    deployed.produce_events([*old, *made_events(50, 50)])
    deployed.drain()
    done = asked(deployed, "purge", "--status", "success,error", "--older-than", "30d", "--yes")
    assert done["purged"] == len(old)
    asked(deployed, "replay", "--yes")
    assert not [job for job in deployed.rows() if job.startswith("old-")]
    run_inside(deployed, "verify")
    return WORKS


def partitions(deployed: Deployment) -> str:
    """A table that is partitioned by a hash of the job's id."""
    deployed.query("ALTER TABLE jobs RENAME TO plain")
    deployed.query("CREATE TABLE jobs (LIKE plain INCLUDING ALL) PARTITION BY HASH (job_id)")
    for number in range(4):
        deployed.query(f"CREATE TABLE jobs_{number} PARTITION OF jobs FOR VALUES WITH (MODULUS 4, REMAINDER {number})")
    assert "all is ready" in run_inside(deployed, "check").stdout
    write(deployed)
    deployed.query("DELETE FROM jobs WHERE hashtext(job_id) % 2 = 0")
    asked(deployed, "replay", "--yes")
    deployed.assert_exact()
    return WORKS


def own_table(deployed: Deployment) -> str:
    """The application's own table, a job without a row that gets one, and verify and replay of it."""
    own = Own(deployed, deployed.folder)
    own.insert(1, 20)
    own.report(*((number, "processing") for number in range(1, 22)), (1, "success"))
    assert "all is ready" in own.run("check").stdout
    own.drain()
    assert (own.statuses(), own.waiting()) == ({"running": 19, "done": 1}, 1)
    own.insert(21, 21)
    own.query(f"UPDATE {own.environ['JOBSTATUS_TABLE']}_waiting SET next_try = now()")
    own.drain()
    assert (own.status(21), own.waiting()) == ("running", 0)
    own.query("UPDATE jobs SET status = 'new' WHERE id = 3")
    own.run("verify", "--strict", code=1)
    own.run("target", "sync")
    own.drain()
    own.run("verify", "--strict")
    assert own.status(3) == "running"
    return WORKS


def console(deployed: Deployment) -> str:
    """Every page of the console, and its question whether the table agrees with the log."""
    deployed.produce_events(made_events(200, 50))
    deployed.drain()
    with running_console(deployed) as found:
        for page in PAGES:
            answer = found.get(page)
            assert answer.code == 200, f"{page}: {answer.code} {answer.text[-500:]}"
        job = next(iter(deployed.rows()))
        assert found.get(f"/api/jobs/{job}").json["job_id"] == job
        until(lambda: found.get("/api/overview").json["lag"] == 0, "the console knows the broker")
    return WORKS


def broker_assigns(deployed: Deployment) -> str:
    """`group.protocol=consumer` (KIP-848): the broker assigns the partitions, or the consumer says why it stops."""
    given = {"JOBSTATUS_KAFKA_GROUP_PROTOCOL": "consumer"}
    for name in ("JOBSTATUS_KAFKA_SESSION_TIMEOUT_MS", "JOBSTATUS_KAFKA_HEARTBEAT_INTERVAL_MS"):
        deployed.without.add(name)
    deployed.produce_events(made_events(500, 100))
    check = run_inside(deployed, "check", code=None, **given)
    done = run_inside(deployed, "consume", "--until-caught-up", code=None, **given)
    print(check.stdout, check.stderr, done.stdout, done.stderr)
    if done.returncode == 0:
        assert check.returncode == 0
        deployed.assert_exact()
        return WORKS
    assert (check.returncode, done.returncode) == (1, 1)
    for text in (check.stdout, done.stderr):
        assert "group.protocol=consumer" in text
        assert "Kafka 4.0" in text
    return REFUSED


STEPS: Final[dict[str, Callable[[Deployment], str]]] = {
    "tables and topics": migrate,
    "drain, transactions": write,
    "a killed consumer": kill,
    "a rebalance": share,
    "replay, verify": replay,
    "redrive": redrive,
    "status, history, reader": look,
    "purge": purge,
    "hash partitions": partitions,
    "own table": own_table,
    "console": console,
    "`group.protocol=consumer`": broker_assigns,
}
"""By its column on the page; each has a deployment of its own."""


class Running(NamedTuple):
    """A running pair, and how the steps on it have ended."""

    servers: Servers
    ended: dict[str, str]


@pytest.fixture(scope="module", params=PAIRS, ids=str)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A pair; where every step has ended well, the file of the page has it."""
    ended: dict[str, str] = {}
    with servers(request.param) as found:
        yield Running(found, ended)
    if ended.keys() == STEPS.keys():
        keep(request.param, {step: ended[step] for step in STEPS})


@pytest.mark.parametrize("step", STEPS)
def test_a_version(step: str, running: Running, tmp_path: Path) -> None:
    pair, kafka, postgres = running.servers
    name = f"step_{uuid.uuid4().hex[:12]}"
    url = postgres.create_database(name)
    with psycopg.connect(url) as session:
        assert session.info.parameter_status("server_version") == pair.postgres_version
    with deployment(kafka.bootstrap_servers, url, tmp_path) as found:
        running.ended[step] = STEPS[step](found)
    postgres.drop_database(name)
