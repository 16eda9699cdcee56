"""The main job on a real broker and a real PostgreSQL: what is reported ends in the table, exactly."""

from __future__ import annotations

import random
import re
import signal
import time
import uuid
from typing import Any

import psycopg
import pytest
from jobstatus_consumer.records import RawRecord
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_schemas import JobStatusEvent, encode
from support.deployment import ConsumerProcess, Deployment, deployment, made_events
from support.waiting import until

PREFIX = "jobstatus.dlq."

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def headers(letter: RawRecord) -> dict[str, str]:
    """Our own headers of a dead letter, without their prefix."""
    return {
        name.removeprefix(PREFIX): (text or b"").decode() for name, text in letter.headers if name.startswith(PREFIX)
    }


@pytest.mark.parametrize("in_flight", ["1", "4"])
def test_a_backlog_ends_in_the_table_exactly_and_twice_changes_nothing(deployed: Deployment, in_flight: str) -> None:
    deployed.more["JOBSTATUS_BATCHES_IN_FLIGHT"] = in_flight
    deployed.produce_events(made_events(3000, 400))
    summary = deployed.drain()
    assert summary["events"] == 3000
    assert summary["applied"] + summary["merged"] == 3000
    assert summary["batches"] == 60
    deployed.assert_exact()
    assert deployed.lag() == 0

    before = deployed.rows()
    again = deployed.drain(JOBSTATUS_GROUP_ID=f"{deployed.group}-2")
    assert again["events"] == 3000
    assert again["applied"] == 0
    assert again["stale"] + again["merged"] == 3000
    assert deployed.rows() == before


def test_the_promised_line_is_logged_and_no_value_of_a_row(deployed: Deployment) -> None:
    deployed.produce_events(made_events(120, 120, prefix="secret-job"))
    # the last batch is written at the stop, however slowly the events come
    consumer = deployed.consumer("--batch-linger-seconds", "30")
    consumer.says("Batch updated 50 job statuses in ", count=2)
    assert consumer.stop() == 0
    assert deployed.lag() == 0
    text = consumer.text()
    for size in (50, 20):
        assert re.search(rf"Batch updated {size} job statuses in \d+\.\d+", text)
    assert "secret-job" not in text
    assert "it broke" not in text


def test_what_is_wrong_becomes_a_dead_letter_and_stops_nobody_else(deployed: Deployment) -> None:
    good = made_events(200, 50)
    value = encode(good[0])
    other_schema = value[:2] + bytes(8) + value[10:]
    long_status = encode(good[0]._replace(status="s" * 65))
    nul_in_job = encode(good[0]._replace(job_id="job\x00"))
    wrong = [
        (b"job-0", value[:-3], "malformed"),
        (b"job-0", value + b"x", "trailing_bytes"),
        (b"job-0", other_schema, "unknown_schema"),
        (b"job-0", random.Random(1).randbytes(300), "not_avro_single_object"),
        (b"job-0", None, "no_value"),
        (b"another", value, "key_is_not_job_id"),
        (None, value, "key_is_not_job_id"),
        (good[0].job_id.encode(), long_status, "out_of_contract"),
        (b"job\x00", nul_in_job, "out_of_contract"),
    ]
    records: list[Any] = [(item.job_id, encode(item), ()) for item in good]
    for number, (key, bad, _) in enumerate(wrong):
        records.insert(number * 20, (key, bad, [("traceparent", b"00-1")]))
    deployed.produce(records)
    summary = deployed.drain()
    assert summary["dead_letters"] == len(wrong)
    assert summary["events"] == len(good) + len(wrong)
    deployed.assert_exact()

    topic_id = deployed.topic_id()
    letters = deployed.dead_letters()
    originals = {(raw.partition, raw.offset): raw for raw in deployed.records()}
    assert sorted(headers(letter)["reason"] for letter in letters) == sorted(reason for _, _, reason in wrong)
    for letter in letters:
        said = headers(letter)
        original = originals[int(said["partition"]), int(said["offset"])]
        assert (letter.key, letter.value, letter.timestamp) == (original.key, original.value, original.timestamp)
        assert list(letter.headers)[:1] == [("traceparent", b"00-1")]
        assert said["topic"] == deployed.topic
        assert said["topic.id"] == topic_id
        assert said["group"] == deployed.group
        assert said["stage"] in ("decode", "validate")


def test_an_error_message_of_900_kb_or_with_nul_is_cut_and_escaped_and_lands(deployed: Deployment) -> None:
    first, second = made_events(2, 1)
    deployed.produce_events(
        [
            first._replace(job_id="long", error_message="é" * 450_000),
            second._replace(job_id="nul", error_message="a\x00b"),
        ]
    )
    assert deployed.drain()["dead_letters"] == 0
    rows = deployed.rows()
    assert rows["nul"].error_message == "a\\x00b"
    message = rows["long"].error_message
    assert message is not None
    assert len(message.encode()) <= 16 * 1024
    assert "cut by jobstatus" in message
    deployed.assert_exact()


def test_a_row_that_a_constraint_refuses_is_isolated_and_the_others_land(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    events = [item._replace(job_id=f"job-{number}") for number, item in enumerate(made_events(400, 400))]
    deployed.produce_events(events)
    summary = deployed.drain()
    assert summary["dead_letters"] == 100
    letters = deployed.dead_letters()
    told = [headers(letter) for letter in letters]
    assert {item["stage"] for item in told} == {"write"}
    assert {item["sqlstate"] for item in told} == {"23514"}
    assert {item["where"] for item in told} == {"known"}
    assert deployed.rows().keys() == {item.job_id for item in events if item.status != "error"}


@pytest.mark.parametrize(
    ("in_flight", "flush"),
    [
        ("1", "linger"),
        pytest.param("4", "linger", marks=pytest.mark.long),
        pytest.param("1", "adaptive", marks=pytest.mark.long),
        pytest.param("4", "adaptive", marks=pytest.mark.long),
    ],
)
def test_two_consumers_killed_again_and_again_lose_nothing(
    kafka: LocalKafka, database_url: str, tmp_path_factory: pytest.TempPathFactory, in_flight: str, flush: str
) -> None:
    rng = random.Random(7)
    with deployment(kafka.bootstrap_servers, database_url, tmp_path_factory.mktemp("killed"), partitions=6) as deployed:
        deployed.more |= {"JOBSTATUS_BATCHES_IN_FLIGHT": in_flight, "JOBSTATUS_BATCH_FLUSH": flush}
        events = made_events(50_000, 5_000)
        alive = [deployed.consumer(wait=False), deployed.consumer(wait=False)]
        kills = 0
        for start in range(0, 50_000, 3_000):
            deployed.produce_events(events[start : start + 3_000])
            goal = deployed.query("SELECT coalesce(sum(next_offset), 0) FROM jobs_progress")[0][0] + rng.randrange(
                1, 2_000
            )
            if kills < 15:
                _killed_at(deployed, alive, rng, int(goal))
                kills += 1
        assert kills == 15
        deployed.caught_up(120)
        deployed.assert_exact()
        assert not deployed.dead_letters()
        for consumer in alive:
            assert consumer.stop() == 0


def _killed_at(deployed: Deployment, alive: list[ConsumerProcess], rng: random.Random, goal: int) -> None:
    """Kill one of the two once the table has come to `goal` offsets, or sooner if it does not come so far."""
    deadline = time.monotonic() + 4

    def there() -> bool:
        done = deployed.query("SELECT coalesce(sum(next_offset), 0) FROM jobs_progress")[0][0]
        return int(done) >= goal or time.monotonic() > deadline

    until(there, "the table comes to the goal", every=0.02)
    which = rng.randrange(2)
    alive[which].kill()
    alive[which] = deployed.consumer(wait=False)


def test_postgres_away_for_20_s_keeps_the_membership_and_loses_nothing(
    kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("away")
    with LocalPostgres() as postgres, deployment(kafka.bootstrap_servers, postgres.url, folder) as deployed:
        consumer = deployed.consumer(JOBSTATUS_KAFKA_MAX_POLL_INTERVAL_MS="8000")
        events = made_events(6_000, 500)
        deployed.produce_events(events[:2_000])
        deployed.caught_up()
        rebalances = consumer.text().count("got partitions")
        postgres.stop("immediate")
        stopped = time.monotonic()
        deployed.produce_events(events[2_000:4_000])
        consumer.says("waiting for the database")
        until(lambda: time.monotonic() - stopped > 20, "20 s without a database", every=0.5)
        postgres.start()
        back = time.monotonic()
        until(
            lambda: deployed.query("SELECT max(next_offset) FROM jobs_progress") and "answers again" in consumer.text(),
            "writing again",
            30,
        )
        assert time.monotonic() - back < 8
        deployed.produce_events(events[4_000:])
        deployed.caught_up()
        deployed.assert_exact()
        assert consumer.text().count("got partitions") == rebalances
        assert "lost partitions" not in consumer.text()
        assert not deployed.dead_letters()
        assert consumer.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_writes_and_commits_what_is_in_hand(deployed: Deployment, number: signal.Signals) -> None:
    consumer = deployed.consumer("--batch-linger-seconds", "30")
    deployed.produce_events(made_events(70, 70))
    consumer.says("Batch updated 50")
    consumer.signal(number)
    assert consumer.process.wait(30) == 0
    assert deployed.lag() == 0
    assert deployed.drain()["events"] == 0
    deployed.assert_exact()


def test_a_second_signal_ends_at_once(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("twice")
    with LocalPostgres() as postgres, deployment(kafka.bootstrap_servers, postgres.url, folder) as deployed:
        lock = psycopg.connect(postgres.url)
        lock.execute(b"LOCK TABLE jobs IN EXCLUSIVE MODE")
        consumer = deployed.consumer()
        deployed.produce_events(made_events(50, 50))
        until(
            lambda: deployed.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"),
            "a write that waits",
        )
        consumer.signal()
        consumer.says("a second signal ends the process at once")
        consumer.signal()
        assert consumer.process.wait(30) == 128 + signal.SIGTERM
        lock.close()
        assert deployed.lag() == 50


def test_attempts_rule_over_log_order(deployed: Deployment) -> None:
    def event(status: str, attempt: int | None, at: int) -> JobStatusEvent:
        return JobStatusEvent(str(uuid.uuid4()), "job", status, None, attempt, None, at)

    now = int(time.time() * 1e6)
    deployed.produce_events([event("error", 1, now), event("processing", 2, now + 1), event("late news", 1, now + 2)])
    summary = deployed.drain()
    assert summary["stale"] == 1
    assert deployed.rows()["job"].status == "processing"
