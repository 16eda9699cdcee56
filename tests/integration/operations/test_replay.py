"""Replay on a real broker and a real PostgreSQL: what was lost comes back exactly, and what is newer stays."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import time
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from jobstatus_local.kafka import LocalKafka
from jobstatus_schemas import encode
from support.deployment import Deployment, deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.mixtures import mixed_records
from support.topics import alter_topic, remove_records
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def replay(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = run_inside(deployed, "replay", *arguments, "--yes", "--json", code=code)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def plan(deployed: Deployment, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "replay", *arguments, "--dry-run", "--json").stdout)
    return found


def test_what_was_lost_comes_back_exactly_and_twice_changes_nothing(deployed: Deployment) -> None:
    records = mixed_records(3000, 300)
    deployed.produce(records[:1500])
    deployed.drain()
    deployed.query("CREATE TABLE dump AS TABLE jobs")
    deployed.query("CREATE TABLE dump_progress AS TABLE jobs_progress")
    deployed.produce(records[1500:])
    deployed.drain()
    deployed.assert_exact()
    committed, progress = deployed.committed(), deployed.query("SELECT * FROM jobs_progress ORDER BY 1")
    losses = (
        ("TRUNCATE jobs",),
        ("DELETE FROM jobs WHERE hashtext(job_id) % 2 = 0",),
        ("TRUNCATE jobs", "INSERT INTO jobs TABLE dump"),
    )
    for loss in losses:
        whole = deployed.rows()
        for statement in loss:
            deployed.query(statement)
        before = deployed.rows()
        planned = plan(deployed)
        assert deployed.rows() == before, "a dry run changed the table"
        summary = replay(deployed)
        assert summary["events"] == 3000
        deployed.assert_exact()
        lost = {job for job in whole if before.get(job) != whole[job]}
        assert planned["rows_that_would_change"] == len(lost), loss
        assert planned["new_rows"] == len(whole.keys() - before.keys())
        again = replay(deployed)
        assert (again["applied"], again["complete"]) == (0, True)
        assert plan(deployed)["rows_that_would_change"] == 0
        deployed.assert_exact()
    assert deployed.committed() == committed
    assert deployed.query("SELECT * FROM jobs_progress ORDER BY 1") == progress


def test_a_new_table_is_filled_beside_the_live_one_and_a_consumer_goes_on_in_it(deployed: Deployment) -> None:
    records = mixed_records(2500, 200)
    deployed.produce(records[:2000])
    deployed.drain()
    summary = replay(deployed, "--into", "rebuilt")
    assert summary["applied"] == len(deployed.rows())
    deployed.table = "rebuilt"
    deployed.assert_exact()
    again = run_inside(deployed, "replay", "--into", "rebuilt", "--yes", "--table", "jobs", code=1)
    assert "there already" in again.stderr
    assert deployed.drain()["events"] == 0, "the new table's progress says what it has"
    deployed.produce(records[2000:])
    assert deployed.drain()["events"] == 500
    deployed.assert_exact()
    some = replay(deployed, "--into", "part", "--status", "error", "--table", "jobs")
    assert some["applied"] == deployed.query("SELECT count(*) FROM part WHERE status = 'error'")[0][0]
    assert deployed.query("SELECT * FROM part_progress") == []
    keys = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'part'::regclass AND indisprimary"
    assert deployed.query(keys) == [("part_pkey",)]


def test_filters_reach_what_they_name_and_nothing_else(deployed: Deployment) -> None:
    deployed.produce_events(made_events(800, 40))
    deployed.drain()
    whole = deployed.rows()
    deployed.query("DELETE FROM jobs WHERE job_id <> 'job-1'")
    deployed.query("DELETE FROM jobs WHERE job_id = 'job-3'")
    replay(deployed, "--job-id", "job-3", "--job-id", "job-4")
    assert deployed.rows() == {job: whole[job] for job in ("job-1", "job-3", "job-4")}
    deployed.query("UPDATE jobs SET log_offset = -1, status = 'old' WHERE job_id = 'job-4'")
    summary = replay(deployed, "--existing-only")
    assert deployed.rows() == {job: whole[job] for job in ("job-1", "job-3", "job-4")}
    assert summary["skipped"] > 0
    assert plan(deployed, "--existing-only")["skipped_jobs"] == len(whole) - 3
    lines = [
        json.loads(line) for line in run_inside(deployed, "replay", "--print", "--job-id", "job-9").stdout.splitlines()
    ]
    assert {line["job_id"] for line in lines} == {"job-9"}
    assert lines[-1]["status"] == whole["job-9"].status
    unknown = run_inside(deployed, "replay", "--job-id", "never-was", "--yes", code=1)
    assert "'never-was'" in unknown.stderr
    assert "job-9" not in deployed.rows()


def test_killed_ten_times_and_continued_while_events_arrive_it_is_exact(deployed: Deployment) -> None:
    rng = random.Random(5)
    events = made_events(8_000, 900)
    deployed.produce_events(events[:6_000])
    deployed.drain()
    deployed.query("TRUNCATE jobs")
    consumer = deployed.consumer()
    arguments = [COMMAND, "replay", "--name", "night", "--yes", "--max-rate", "1500"]
    group = f"{deployed.group}.replay.night"
    place = 0
    for number in range(10):
        process = Command[bytes](arguments, env=deployed.environ, stderr=subprocess.PIPE)
        start = 6_000 + number * 200
        deployed.produce_events(events[start : start + 200])
        goal = place + rng.randrange(1, 600)

        def there(goal: int = goal, process: subprocess.Popen[bytes] = process) -> bool:
            return _place(deployed, group) >= goal or process.poll() is not None

        until(there, f"the place reaches {goal}", every=0.02)
        process.kill()
        process.communicate(timeout=30)
        place = _place(deployed, group)
    assert place > 0
    last = run_inside(deployed, "replay", "--name", "night", "--yes", "--json")
    assert "going on with night" in last.stderr
    deployed.caught_up()
    deployed.assert_exact()
    assert consumer.stop() == 0
    assert replay(deployed)["applied"] == 0
    other = run_inside(deployed, "replay", "--name", "night", "--yes", "--job-id", "job-1", code=2)
    assert "begun with another" in other.stderr


def _place(deployed: Deployment, group: str) -> int:
    mine, deployed.group = deployed.group, group
    try:
        return sum(deployed.committed().values())
    finally:
        deployed.group = mine


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(deployed: Deployment) -> None:
    deployed.produce_events(made_events(4000, 300))
    process = Command[str](
        [COMMAND, "replay", "--yes", "--max-rate", "150"],
        env=deployed.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(deployed.rows, "the first rows")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    match = re.search(r"with (--from \S+) (--to \S+)$", said.strip())
    assert match, said
    assert 0 < len(deployed.rows()) < 300 or deployed.rows() != deployed.expected()
    replay(deployed, *match[1].split(), *match[2].split())
    deployed.assert_exact()


def test_a_topic_that_was_made_again_takes_nothing_from_rows_that_are_newer(deployed: Deployment) -> None:
    events = made_events(600, 60)
    deployed.produce_events(events[:400])
    deployed.drain()
    old = deployed.rows()
    admin = AdminClient({"bootstrap.servers": deployed.bootstrap})
    admin.delete_topics([deployed.topic])[deployed.topic].result(30)
    until(lambda: deployed.topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    run_inside(deployed, "topics", "create", "--partitions", "4", "--replication", "1")
    # a mirror's old news, and news
    deployed.produce_events([*events[100:200], *events[400:]])
    summary = replay(deployed)
    assert summary["applied"] > 0
    rows = deployed.rows()
    for job, row in rows.items():
        assert (row.occurred_at or 0) >= (old[job].occurred_at or 0 if job in old else 0)
    assert {event.event_id for event in events[400:]} >= {
        row.event_id for job, row in rows.items() if row != old.get(job)
    }
    assert replay(deployed)["applied"] == 0
    verified = run_inside(deployed, "verify", "--to", "now", "--json")
    assert any("log that is gone" in word for word in json.loads(verified.stdout)["explained"])


@pytest.mark.parametrize("kind", ["LogAppendTime", "CreateTime"])
def test_times_select_what_was_appended_or_made_then(deployed: Deployment, kind: str) -> None:
    alter_topic(deployed.bootstrap, deployed.topic, "message.timestamp.type", kind)
    first, second = made_events(40, 400), made_events(40, 400, seed=2, prefix="later")
    base = int(time.time() * 1000) - 7_200_000
    _produce_at(deployed, first, base)
    _produce_at(deployed, second, base + 3_600_000)
    stamps = sorted(raw.timestamp for raw in deployed.records())
    if kind == "CreateTime":
        assert stamps == [base] * 40 + [base + 3_600_000] * 40, "equal timestamps"
        middle = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((base + 1_800_000) / 1000)) + "+00:00"
        assert plan(deployed, "--to", middle)["events"] == 40
        assert plan(deployed, "--from", middle)["events"] == 40
        assert plan(deployed, "--from", "90m ago", "--to", "30m ago")["events"] == 40
        assert plan(deployed, "--from", "1m ago")["events"] == 0
    else:
        assert plan(deployed, "--from", "10m ago")["events"] == 80
        assert plan(deployed, "--to", "10m ago")["events"] == 0
        exact = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamps[0] / 1000)) + f".{stamps[0] % 1000:03d}Z"
        assert plan(deployed, "--from", exact)["events"] == 80


def _produce_at(deployed: Deployment, events: Any, milliseconds: int) -> None:
    producer = Producer({"bootstrap.servers": deployed.bootstrap})
    for event in events:
        producer.produce(deployed.topic, key=event.job_id, value=encode(event), timestamp=milliseconds)
    assert producer.flush(60) == 0


def test_gaps_and_empty_partitions_are_passed_over(deployed: Deployment) -> None:
    events = made_events(600, 3)
    producer = Producer(
        {"bootstrap.servers": deployed.bootstrap, "transactional.id": deployed.topic, "partitioner": "murmur2_random"}
    )
    producer.init_transactions(60)
    for number in range(12):
        producer.begin_transaction()
        for event in events[number * 50 : number * 50 + 50]:
            producer.produce(deployed.topic, key=event.job_id, value=encode(event))
        # what is still under way at an abort may reach the broker after it, which takes that for a fault
        producer.flush(60)
        producer.abort_transaction(60) if number % 3 == 1 else producer.commit_transaction(60)
    ends = deployed.ends()
    assert 0 in ends.values(), "an empty partition"
    deployed.query("TRUNCATE jobs")
    summary = replay(deployed)
    assert summary["events"] == 400
    assert summary["next"] == {str(number): end for number, end in ends.items()}
    deployed.assert_exact()
    full = max(ends, key=lambda number: ends[number])
    assert replay(deployed, "--from", f"{full}:{ends[full] - 1}")["events"] == 0, "a marker is no event"
    assert replay(deployed, "--from", f"{full}:0", "--to", f"{full}:{ends[full] - 1}")["applied"] == 0
    replay(deployed, "--into", "rebuilt")
    deployed.table = "rebuilt"
    deployed.assert_exact()


@pytest.mark.parametrize("partitions", [1, 64])
def test_one_partition_or_sixty_four(
    kafka: LocalKafka, database_url: str, tmp_path_factory: pytest.TempPathFactory, partitions: int
) -> None:
    folder = tmp_path_factory.mktemp("partitions")
    with deployment(kafka.bootstrap_servers, database_url, folder, partitions=partitions) as deployed:
        deployed.produce(mixed_records(2_000, 300))
        assert replay(deployed)["events"] == 2_000
        deployed.assert_exact()
        assert json.loads(run_inside(deployed, "verify", "--to", "now", "--json").stdout)["findings"] == []


def test_what_retention_removed_is_said(deployed: Deployment) -> None:
    deployed.produce_events(made_events(400, 40))
    remove_records(deployed.bootstrap, deployed.topic, {0: 5})
    assert "removed 5 offsets" in run_inside(deployed, "replay", "--dry-run").stderr
    refused = run_inside(deployed, "replay", "--from", "0:4", "--yes", code=2)
    assert "retention has removed what was before 5" in refused.stderr
    assert plan(deployed)["events"] == 395


def test_events_that_the_database_refuses_are_counted_and_all_others_land(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    events = [event._replace(job_id=f"job-{number}") for number, event in enumerate(made_events(200, 200))]
    deployed.produce_events(events)
    done = run_inside(deployed, "replay", "--yes", code=1)
    assert "refused 50 events" in done.stderr
    assert "23514" in done.stderr
    assert "it broke" not in done.stderr + done.stdout
    assert deployed.rows().keys() == {event.job_id for event in events if event.status != "error"}


BAD = (
    (["--from", "9:1"], 2, "there is no partition 9"),
    (["--from", "0:99999"], 2, "has no offset 99999"),
    (["--to", "2099-01-01T00:00Z"], 2, "in the future"),
    (["--from", "1h ago", "--to", "2h ago"], 2, "is after --to"),
    (["--from", "2026-01-01T00:00"], 2, "has no zone"),
    (["--from", "yesterday"], 2, "allowed"),
    (["--job-id", "never-was"], 1, "never-was"),
    (["--into", "jobs"], 2, "is the live table"),
    (["--into", '"Jobs New"'], 2, "no digit first"),
    (["--into", "theirs"], 1, "there already"),
    (["--into", "new", "--name", "x"], 2, "do not go together"),
    (["--table", "theirs"], 1, "not ours"),
    (["--table", "nowhere"], 1, "there is no table nowhere"),
    (["--topic", "no-such-topic"], 1, "is not there"),
    (["--max-rate", "0"], 2, "--max-rate"),
)


def test_bad_input_is_named_and_changes_nothing(deployed: Deployment) -> None:
    deployed.query("CREATE TABLE theirs (id int)")
    deployed.produce_events(made_events(20, 5))
    for arguments, code, words in BAD:
        done = run_inside(deployed, "replay", *arguments, "--yes", code=code)
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    nobody = run_inside(deployed, "replay", code=2)
    assert "give --yes" in nobody.stderr
    assert deployed.rows() == {}


EMPTY_OR_NO_NUMBER = (
    (["--into", ""], "--into: empty; wanted TABLE"),
    (["--name", ""], "--name: empty; wanted NAME"),
    (["--status", "error", "--status", ""], "--status: empty; wanted WORD"),
    (["--job-id", ""], "--job-id: empty"),
    (["--into", "", "--name", "x"], "--into: empty"),
    (["--max-rate", "nan"], "--max-rate nan: wanted a number above 0"),
    (["--max-rate", "inf"], "--max-rate inf: wanted a number above 0"),
    (["--from", "01:30"], "without leading zeros"),
)


def test_empty_texts_and_rates_that_are_none_are_refused(deployed: Deployment) -> None:
    deployed.produce_events(made_events(20, 5))
    for arguments, words in EMPTY_OR_NO_NUMBER:
        done = run_inside(deployed, "replay", *arguments, "--yes", code=2)
        assert words in done.stderr, done.stderr
    assert deployed.rows() == {}


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "0001-01-01T00:00Z", "3000w ago"])
def test_a_time_before_the_epoch_is_before_all_events(deployed: Deployment, text: str) -> None:
    deployed.produce_events(made_events(50, 10))
    done = run_inside(deployed, "replay", "--from", text, "--dry-run", "--json")
    assert json.loads(done.stdout)["events"] == 50
