"""Verify and repair on a real broker and a real PostgreSQL, beside a live consumer too."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from jobstatus_consumer.operations.findings import OUT_OF_TURN, UNEXPLAINED
from jobstatus_consumer.records import Log
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.mixtures import mixed_records
from support.topics import remove_records
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

BY_HAND = {
    "job-1": "status = 'bogus'",
    "job-2": "attempt = 7",
    "job-3": "latest_occurred_at = now() + interval '1 day'",
    "job-4": "log_offset = log_offset + 1",
    "job-5": "log_offset = 999999",
    "job-6": "error_message = 'x', worker_id = NULL, event_id = gen_random_uuid(), occurred_at = now()",
}


def verify(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "verify", *arguments, "--json", code=code).stdout)
    return found


def test_rows_changed_by_hand_are_named_mended_and_left_alone_by_replay(deployed: Deployment) -> None:
    deployed.produce_events(made_events(1500, 100))
    deployed.drain()
    assert verify(deployed)["findings"] == []
    for job, change in BY_HAND.items():
        deployed.query(f"UPDATE jobs SET {change} WHERE job_id = '{job}'")
    deployed.query("UPDATE jobs SET log_id = NULL WHERE job_id = 'job-7'")
    deployed.query("DELETE FROM jobs WHERE job_id = 'job-8'")
    deployed.query("INSERT INTO jobs (job_id, status) VALUES ('theirs', 'x')")
    found = verify(deployed, code=1)
    assert {item["job_id"]: item["kind"] for item in found["findings"]} == {
        **dict.fromkeys(BY_HAND, "different"),
        "job-7": "behind",
        "job-8": "missing",
    }
    assert found["explained"] == {"written by somebody else (no position)": 1}
    assert verify(deployed, "--ignore-missing", code=1)["missing"] == 0
    people = run_inside(deployed, "verify", code=1).stdout
    assert "job-1: different in status" in people
    assert "bogus" not in people
    assert "'bogus'" in run_inside(deployed, "verify", "--show-values", code=1).stdout
    run_inside(deployed, "replay", "--yes")
    left = {item["job_id"] for item in verify(deployed, code=1)["findings"]}
    assert left == set(BY_HAND), "replay alone leaves what is different"
    repaired = verify(deployed, "--repair")
    assert (repaired["mended"], repaired["not_mended"], repaired["moved_on"]) == (len(BY_HAND), [], 0)
    deployed.query("DELETE FROM jobs WHERE job_id = 'theirs'")
    deployed.assert_exact()
    assert verify(deployed)["findings"] == []
    assert "never-was" in run_inside(deployed, "verify", "--job-id", "never-was", code=1).stderr


def test_of_a_log_that_retention_has_cut_rows_changed_by_hand_are_named_or_said_to_be_unchecked(
    deployed: Deployment,
) -> None:
    deployed.produce_events(made_events(1500, 100))
    deployed.drain()
    for partition, end in deployed.ends().items():
        remove_records(deployed.bootstrap, deployed.topic, {partition: end // 10})
    right = deployed.rows()
    for job, change in BY_HAND.items():
        deployed.query(f"UPDATE jobs SET {change} WHERE job_id = '{job}'")
    deployed.query("UPDATE jobs SET latest_occurred_at = occurred_at + interval '1 s' WHERE job_id = 'job-7'")
    found = verify(deployed, code=1)
    assert {item["job_id"] for item in found["findings"]} == BY_HAND.keys() - {"job-2"}
    assert found["explained"] == {UNEXPLAINED: 2}
    repaired = verify(deployed, "--repair")
    assert (repaired["mended"], repaired["not_mended"]) == (len(BY_HAND) - 1, [])
    rows = deployed.rows()
    assert {job for job in right if rows[job] != right[job]} == {"job-2", "job-7"}
    people = run_inside(deployed, "verify").stdout
    assert f"2 rows are explained: {UNEXPLAINED}" in " ".join(people.split())
    assert "all rows but those that are explained say what the log says" in people
    assert "the table says" not in people


def test_a_misplaced_row_keeps_the_attempt_of_an_event_that_is_removed(deployed: Deployment) -> None:
    events = [item._replace(job_id="job") for item in made_events(3, 1)]
    deployed.produce_events([events[0]._replace(attempt=5), *events[1:]])
    deployed.drain()
    right = deployed.rows()
    (partition,) = (number for number, end in deployed.ends().items() if end)
    remove_records(deployed.bootstrap, deployed.topic, {partition: 2})
    deployed.query("UPDATE jobs SET log_offset = log_offset + 100")
    assert verify(deployed, "--repair")["mended"] == 1
    assert deployed.rows() == right


def test_a_row_is_mended_out_of_all_its_events_whatever_stretch_was_judged(deployed: Deployment) -> None:
    events = [item._replace(job_id="job") for item in made_events(2, 1)]
    deployed.produce_events([events[0]._replace(attempt=3), events[1]._replace(attempt=1)])
    deployed.drain()
    right = deployed.rows()
    (partition,) = (number for number, end in deployed.ends().items() if end)
    deployed.query("DELETE FROM jobs")
    found = verify(deployed, "--from", f"{partition}:1", "--repair")
    assert (found["missing"], found["mended"]) == (1, 1)
    assert deployed.rows() == right


def has_committed(deployed: Deployment, count: int) -> bool:
    return sum(deployed.committed().values()) >= count


def has_committed_past_row(deployed: Deployment, job_id: str) -> bool:
    ((log_id, offset),) = deployed.query(f"SELECT log_id, log_offset FROM jobs WHERE job_id = '{job_id}'")
    return deployed.committed().get(Log.parse(log_id).partition, 0) > int(offset)


def test_beside_a_live_consumer_there_is_no_false_alarm_and_repair_touches_nothing_newer(deployed: Deployment) -> None:
    records = mixed_records(9_000, 500)
    deployed.produce(records[:2_000])
    consumer = deployed.consumer()
    for start in range(2_000, 9_000, 1_000):
        deployed.produce(records[start : start + 1_000])
        # the group commits what it has read so far, so that there is something to judge
        until(partial(has_committed, deployed, start), "what came before is committed", every=0.1)
        found = verify(deployed)
        assert found["findings"] == []
        assert found["events"] >= start
    deployed.query(
        "INSERT INTO jobs SELECT 'still', status, error_message, attempt, worker_id, occurred_at, event_id, "
        "latest_occurred_at, log_id, log_offset FROM jobs WHERE job_id = 'job-7'"
    )
    # verify judges up to the group's commit, which follows the row that was copied
    until(partial(has_committed_past_row, deployed, "still"), "its position is committed", every=0.1)
    assert [item["job_id"] for item in verify(deployed, code=1)["findings"]] == ["still"]
    deployed.query("DELETE FROM jobs WHERE job_id = 'still'")
    deployed.caught_up()
    deployed.query("UPDATE jobs SET status = 'bogus' WHERE job_id = 'job-1'")
    deployed.query("DELETE FROM jobs WHERE job_id = 'job-2'")
    deployed.produce(mixed_records(300, 500, seed=9))
    verify(deployed, "--repair")
    deployed.caught_up()
    assert verify(deployed)["findings"] == []
    assert consumer.stop() == 0
    assert deployed.rows().keys() == deployed.expected().keys()


def test_an_emptied_table_is_exact_again_beside_a_live_consumer(deployed: Deployment) -> None:
    records = mixed_records(4_000, 200)
    deployed.produce(records[:2_500])
    deployed.drain()
    deployed.query("TRUNCATE jobs")
    # what the consumer writes into the empty table hides attempts and times that came before
    consumer = deployed.consumer()
    deployed.produce(records[2_500:3_000])
    deployed.caught_up()
    replaying = Command[bytes]([COMMAND, "replay", "--yes", "--max-rate", "1500"], env=deployed.environ)
    deployed.produce(records[3_000:])
    assert replaying.wait(60) == 0
    deployed.caught_up()
    wrong = {job for job, row in deployed.expected().items() if deployed.rows()[job] != row}
    assert wrong, "the test shows nothing"
    explained = verify(deployed)["explained"]
    assert set(explained) == {OUT_OF_TURN}
    assert "the table says what the log says" not in run_inside(deployed, "verify").stdout
    named = verify(deployed, "--strict", code=1)
    assert {item["job_id"] for item in named["findings"]} == wrong
    assert named["out_of_turn"] == len(wrong)
    people = run_inside(deployed, "verify", "--strict", code=1).stdout
    assert "out of turn; event " in people
    repaired = verify(deployed, "--strict", "--repair")
    assert (repaired["mended"], repaired["not_mended"]) == (len(wrong), [])
    deployed.produce(mixed_records(500, 200, seed=4))
    deployed.caught_up()
    assert consumer.stop() == 0
    deployed.assert_exact()
    assert verify(deployed, "--strict")["findings"] == []


def test_what_the_group_has_not_written_is_not_judged_unless_asked(deployed: Deployment) -> None:
    deployed.produce_events(made_events(300, 30))
    deployed.drain()
    deployed.produce_events(made_events(50, 30, seed=3))
    found = verify(deployed)
    assert found["events"] == 300
    assert any("50 offsets are not judged" in remark for remark in found["remarks"])
    assert verify(deployed, "--to", "now", code=1)["behind"] > 0
    assert verify(deployed, "--from", "1h ago")["events"] == 300


def test_the_table_of_a_backup_is_behind_and_repair_mends_it_without_the_consumer(deployed: Deployment) -> None:
    records = mixed_records(2_000, 150)
    deployed.produce(records[:1_000])
    deployed.drain()
    deployed.query("CREATE TABLE dump AS TABLE jobs")
    deployed.produce(records[1_000:])
    deployed.drain()
    whole = deployed.rows()
    deployed.query("TRUNCATE jobs")
    deployed.query("INSERT INTO jobs TABLE dump")
    before = deployed.rows()
    found = verify(deployed, "--repair")
    assert found["missing"] == len(whole.keys() - before.keys())
    assert found["behind"] == sum(before[job] != whole[job] for job in before)
    deployed.assert_exact()
