"""The demo as its user runs it, on servers that are given to it, so that its results can be looked at afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from jobstatus_demo.plan import Plan
from jobstatus_demo.recount import recount
from jobstatus_demo.servers import Servers
from jobstatus_demo.stage import Stage, open_stage
from jobstatus_local.kafka import LocalKafka
from jobstatus_schemas import decode
from support.forked import COMMAND
from support.processes import family, wait_until, wait_until_gone
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

JOBS, WORKERS = 400, 4
SIZE = ["--jobs", str(JOBS), "--workers", str(WORKERS), "--work-seconds", "3", "--before-seconds", "1"]
SMALL = ["--jobs", "100", "--workers", "2", "--work-seconds", "2", "--before-seconds", "0.5"]
DEMO = [COMMAND, "demo", *SIZE]
FEW = 2
WITH_FEW = [*DEMO, "--workers", str(FEW)]
"""Where the size is of no interest."""
RUN_SECONDS = 240
A_CLOSED_PORT = "http://127.0.0.1:9"
WITHOUT_A_REPOSITORY = {
    **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), A_CLOSED_PORT),
    "NO_PROXY": "",
    "no_proxy": "",
}


class Said(NamedTuple):
    """What a demo printed, and its exit code."""

    stdout: str
    stderr: str
    code: int

    def report(self) -> dict[str, Any]:
        assert self.stdout, self.stderr
        found: dict[str, Any] = json.loads(self.stdout)
        return found


class TwoDemos(NamedTuple):
    """What two demos said that ran at the same time."""

    kept: Said
    removed: Said
    topics: set[str]
    """the topics that both left"""


class Found(NamedTuple):
    """What a demo that was kept said, and where it was."""

    report: dict[str, Any]
    stage: Stage
    connection: psycopg.Connection[Any]


def an_environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSTATUS_")}
    return {**kept, **settings}


def last_of_each_job(bootstrap_servers: str, topic: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """How many events the topic has, and (status, event id) of each job's last one, without any code of the demo."""
    reader = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "looks-on", "enable.auto.commit": False})
    numbers = sorted(reader.list_topics(topic, timeout=10).topics[topic].partitions)
    partitions = [TopicPartition(topic, number, 0) for number in numbers]
    wanted = sum(reader.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions)
    reader.assign(partitions)
    last: dict[str, tuple[str, str]] = {}
    count, deadline = 0, time.monotonic() + 60
    while count < wanted:
        assert time.monotonic() < deadline, f"{count} of {wanted} events in 60 s"
        for message in reader.consume(500, 0.2):
            event = decode(message.value())
            last[event.job_id] = (event.status, event.event_id)
            count += 1
    reader.close()
    return count, last


@pytest.fixture(scope="module")
def two_demos(kafka: LocalKafka, module_database_url: str) -> TwoDemos:
    """Two that run at the same time on the same servers: one is kept, the other removes what it made."""
    env = on_these(kafka, module_database_url)
    before = demo_topics(kafka)
    with started([*DEMO, "--keep", "--json"], env) as kept, started([COMMAND, "demo", *SMALL], env) as removed:
        said = [Said(*process.communicate(timeout=RUN_SECONDS), process.returncode) for process in (kept, removed)]
    return TwoDemos(said[0], said[1], demo_topics(kafka) - before)


def demo_topics(kafka: LocalKafka) -> set[str]:
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    return {name for name in topics if name.startswith("jobstatus-demo-")}


def on_these(kafka: LocalKafka, database_url: str) -> dict[str, str]:
    return an_environment(
        JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, JOBSTATUS_DATABASE_URL=database_url
    )


@contextmanager
def started(argv: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def kept(two_demos: TwoDemos, kafka: LocalKafka, module_database_url: str) -> Iterator[Found]:
    """The demo that left its topic and tables."""
    report = two_demos.kept.report()
    plan = Plan(jobs=JOBS, run_id=report["names"]["run"])
    there = Servers(kafka.bootstrap_servers, module_database_url, "yours", "yours")
    with (
        open_stage(plan, there, there.environment(plan, an_environment())) as stage,
        psycopg.connect(module_database_url, autocommit=True) as connection,
    ):
        yield Found(report, stage, connection)
        stage.topic.remove()
        stage.tables.remove()


def test_every_row_is_the_last_event_of_its_job(kept: Found, kafka: LocalKafka) -> None:
    count, last = last_of_each_job(kafka.bootstrap_servers, kept.report["names"]["topic"])
    rows = kept.connection.execute(f"SELECT job_id, status, event_id::text FROM {kept.report['names']['table']}")
    assert {job_id: (status, event_id) for job_id, status, event_id in rows} == last
    assert (count, len(last)) == (JOBS * 3, JOBS)
    assert kept.report["recount"]["events"] == count
    assert (kept.report["lost"], kept.report["gone_back"]) == (0, 0)


def test_the_figures_are_those_of_the_database(kept: Found) -> None:
    report, table = kept.report, kept.report["names"]["table"]
    noted = kept.connection.execute(
        f"SELECT source, count(DISTINCT xid) FROM {table}_notes WHERE source <> '{table}_progress' GROUP BY 1"
    )
    assert dict(noted.fetchall()) == {
        f"{table}_before": report["before"]["transactions"],
        table: report["after"]["cost"]["transactions"],
    }
    ((changed,),) = kept.connection.execute(f"SELECT count(*) FROM {table}_before WHERE status IS NOT NULL").fetchall()
    assert 0 < changed <= report["before"]["updates"] == report["before"]["transactions"]
    ((written,),) = kept.connection.execute(f"SELECT sum(next_offset) FROM {table}_progress").fetchall()
    assert written == report["after"]["cost"]["updates"] == JOBS * 3


def test_what_came_again_changed_nothing(kept: Found) -> None:
    written, again = kept.report["after"]["crash"]["written"], kept.report["redelivered"]
    assert JOBS * 3 / 2 <= written <= JOBS * 3
    assert 0 <= again <= written
    assert kept.report["after"]["consumer"]["events"] == JOBS * 3 - written + again


def test_each_demo_touches_its_own_topics_and_tables_only(kept: Found, two_demos: TwoDemos) -> None:
    # the other demo has removed its own
    assert two_demos.topics == {kept.report["names"]["topic"], f"{kept.report['names']['topic']}.dlq"}
    tables = kept.connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    suffixes = {name.removeprefix(kept.report["names"]["table"]) for (name,) in tables}
    assert suffixes == {"", "_progress", "_purged", "_audit", "_before", "_notes"}


def test_a_row_that_is_deleted_before_the_recount_is_lost(kept: Found) -> None:
    table = kept.report["names"]["table"]
    kept.connection.execute("SET session_replication_role = replica")  # the tables' own notes stay as they are
    kept.connection.execute(f"CREATE TEMP TABLE one AS SELECT * FROM {table} WHERE job_id = 'job-00007'")
    kept.connection.execute(f"DELETE FROM {table} WHERE job_id = 'job-00007'")
    try:
        found = recount(kept.stage)
    finally:
        kept.connection.execute(f"INSERT INTO {table} SELECT * FROM one")
    assert (found.missing, found.lost) == (["job-00007"], 1)


def test_the_exit_code_says_whether_every_bound_held(two_demos: TwoDemos) -> None:
    kept, removed, _ = two_demos
    assert kept.code == (0 if kept.report()["ok"] else 1)
    assert removed.code == (1 if "BROKEN" in removed.stdout else 0)
    assert "kept    lost: 0 of 300 updates" in removed.stdout


def test_without_the_jars_the_demo_ends_at_once_and_says_what_to_do(database_url: str, tmp_path: Path) -> None:
    env = an_environment(
        JOBSTATUS_DATABASE_URL=database_url, JOBSTATUS_LOCAL_CACHE=str(tmp_path), **WITHOUT_A_REPOSITORY
    )
    done = subprocess.run(DEMO, env=env, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    said = " ".join(done.stderr.splitlines())
    assert said.startswith(
        "jobstatus: the demo needs a real Kafka and could not get one, so it did not run: cannot fetch"
    )
    assert "type `jobstatus demo` again" in said
    assert "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=host:9092 jobstatus demo" in said
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ({"JOBSTATUS_DATABASE_URL": "postgresql://jobs:s3cret@127.0.0.1:9/jobs"}, 1, "PostgreSQL failed"),
        ({"JOBSTATUS_KAFKA_NO_SUCH_PROPERTY": "1"}, 2, "No such configuration property"),
        ({"JOBSTATUS_KAFKA_ENABLE_AUTO_COMMIT": "true"}, 2, "JOBSTATUS_KAFKA_ENABLE_AUTO_COMMIT"),
    ],
    ids=["no database", "no property", "refused"],
)
def test_servers_that_cannot_be_used_are_named_and_no_password_is(
    kafka: LocalKafka, database_url: str, wrong: dict[str, str], code: int, words: str
) -> None:
    env = {**on_these(kafka, database_url), **wrong}
    done = subprocess.run(DEMO, env=env, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_demo_leaves_nothing_behind(
    kafka: LocalKafka, database_url: str, number: signal.Signals
) -> None:
    with started(WITH_FEW, on_these(kafka, database_url)) as process:
        wait_until(lambda: consumers_below(process.pid), "the consumer", timeout=180)
        wait_until(lambda: len(family(process.pid)) >= 1 + 1 + FEW, "the workers", timeout=180)
        everybody = family(process.pid)
        process.send_signal(number)
        wait_until_gone(everybody[1:], timeout=90)
        _, said = process.communicate(timeout=90)
        assert process.returncode != 0
    if number != signal.SIGKILL:
        assert "was not removed" not in said
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


def consumers_below(pid: int) -> list[int]:
    """The processes that are `jobstatus consume`."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if "consume" in child.cmdline():
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_demo_that_is_kept_shows_its_end_in_a_console_until_ctrl_c(kafka: LocalKafka) -> None:
    env = an_environment(JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers)
    with started([COMMAND, "demo", *SMALL, "--keep"], env) as process:
        assert process.stdout is not None
        said = ""
        while "look at it in a browser" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        address = said.rsplit(" ", 1)[1].strip()

        def rows() -> int:
            with urllib.request.urlopen(f"{address}/api/overview", timeout=30) as answer:
                return sum((json.load(answer)["rows"] or {}).values())

        assert until(rows, "the console has counted the rows") == 100
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
