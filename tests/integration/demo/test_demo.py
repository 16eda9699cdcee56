"""The demo as its user runs it, on servers that are given to it, so that there is something to look at afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.config import load_settings
from jobstatus_demo.plan import Plan
from jobstatus_demo.run import recount_all
from jobstatus_demo.servers import Servers
from jobstatus_demo.show import Show, console
from jobstatus_demo.stage import Stage
from jobstatus_local.kafka import LocalKafka
from jobstatus_schemas import decode
from support.processes import family, wait_until, wait_until_gone

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]

JOBS, WORKERS = 400, 4
DEMO = [
    sys.executable,
    "-c",
    "from jobstatus_consumer.cli.main import main; main()",
    "demo",
    "--jobs",
    str(JOBS),
    "--workers",
    str(WORKERS),
    "--work-seconds",
    "3",
    "--before-seconds",
    "1",
]
RUN_SECONDS = 120
A_CLOSED_PORT = "http://127.0.0.1:9"


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
    in_memory: Said


class Found(NamedTuple):
    """What a demo that was kept said, and where it was."""

    report: dict[str, Any]
    stage: Stage
    connection: psycopg.Connection[Any]


def an_environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSTATUS_")}
    return {**kept, **settings}


def last_of_each_job(bootstrap_servers: str, topic: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """How many events the topic has, and (status, event id) of each job's last one: no code of the demo's."""
    reader = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "looks-on", "enable.auto.commit": False})
    numbers = sorted(reader.list_topics(topic, timeout=10).topics[topic].partitions)
    partitions = [TopicPartition(topic, number, 0) for number in numbers]
    wanted = sum(reader.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions)
    reader.assign(partitions)
    last: dict[str, tuple[str, str]] = {}
    count, deadline = 0, time.monotonic() + 30
    while count < wanted:
        assert time.monotonic() < deadline, f"{count} of {wanted} events in 30 s"
        for message in reader.consume(500, 0.2):
            event = decode(message.value())
            last[event.job_id] = (event.status, event.event_id)
            count += 1
    reader.close()
    return count, last


@pytest.fixture(scope="module")
def two_demos(kafka: LocalKafka, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> TwoDemos:
    """Two beside each other: one is kept, the other finds neither a broker nor the jars of one."""
    kept_env = an_environment(
        JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, JOBSTATUS_DATABASE_URL=module_database_url
    )
    memory_env = an_environment(
        JOBSTATUS_DATABASE_URL=module_database_url,
        JOBSTATUS_LOCAL_CACHE=str(tmp_path_factory.mktemp("no-jars")),
        HTTPS_PROXY=A_CLOSED_PORT,
        HTTP_PROXY=A_CLOSED_PORT,
        https_proxy=A_CLOSED_PORT,
        http_proxy=A_CLOSED_PORT,
        NO_PROXY="",
        no_proxy="",
    )
    with started([*DEMO, "--keep", "--json"], kept_env) as kept, started([*DEMO, "--json"], memory_env) as in_memory:
        return TwoDemos(
            *(Said(*process.communicate(timeout=RUN_SECONDS), process.returncode) for process in (kept, in_memory))
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
    stage = Stage(plan, load_settings(there.environment(plan, an_environment())), there)
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield Found(report, stage, connection)
    stage.remove()
    stage.close()


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


def test_the_users_own_names_are_not_touched(kept: Found) -> None:
    # the other demo has removed what was its own
    tables = kept.connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    suffixes = {name.removeprefix(kept.report["names"]["table"]) for (name,) in tables}
    assert suffixes == {"", "_progress", "_before", "_notes"}


def test_a_row_that_is_deleted_before_the_recount_is_lost(kept: Found) -> None:
    table = kept.report["names"]["table"]
    kept.connection.execute("SET session_replication_role = replica")  # the tables' own notes stay as they are
    kept.connection.execute(f"CREATE TEMP TABLE one AS SELECT * FROM {table} WHERE job_id = 'job-00007'")
    kept.connection.execute(f"DELETE FROM {table} WHERE job_id = 'job-00007'")
    try:
        found = recount_all(kept.stage, Show(console(stderr=True)))
    finally:
        kept.connection.execute(f"INSERT INTO {table} SELECT * FROM one")
    assert (found.missing, found.lost) == (["job-00007"], 1)


def test_the_exit_code_says_whether_every_bound_held(two_demos: TwoDemos) -> None:
    for said in two_demos:
        assert said.code == (0 if said.report()["ok"] else 1)


def test_without_the_jars_the_demo_runs_on_the_built_in_cluster_and_says_so(two_demos: TwoDemos) -> None:
    report = two_demos.in_memory.report()
    assert report["servers"] == {"kafka": "memory", "postgres": "yours"}
    assert "built into librdkafka" in two_demos.in_memory.stderr
    assert (report["lost"], report["gone_back"], report["recount"]["rows"]) == (0, 0, JOBS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_demo_leaves_nothing_behind(
    kafka: LocalKafka, database_url: str, number: signal.Signals
) -> None:
    env = an_environment(JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, JOBSTATUS_DATABASE_URL=database_url)
    with started(DEMO, env) as process:
        wait_until(lambda: consumers_below(process.pid), "the consumer", timeout=60)
        wait_until(lambda: len(family(process.pid)) >= 1 + 1 + WORKERS, "the workers", timeout=60)
        everybody = family(process.pid)
        process.send_signal(number)
        wait_until_gone(everybody[1:], timeout=40)
        _, said = process.communicate(timeout=40)
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
            if "jobstatus_demo.member" in child.cmdline():
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found
