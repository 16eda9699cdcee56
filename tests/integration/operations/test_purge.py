"""`jobstatus purge`: what was purged stays purged, whatever reads the log again, and real news brings a job back."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
import pytest
from jobstatus_schemas import JobStatusEvent, encode
from jobstatus_schemas.protocol import LATE_HEADER
from support.deployment import Deployment
from support.inside import run_inside
from support.topics import remove_records

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

DAY = 86_400_000_000


def made(job_id: str, status: str, ago: int, number: int = 0, attempt: int | None = None) -> JobStatusEvent:
    """An event of so many days ago."""
    at = int(time.time() * 1e6) - ago * DAY + number
    return JobStatusEvent(f"00000000-0000-0000-0000-{number:012d}", job_id, status, None, attempt, "w", at)


def old_jobs(count: int = 20) -> list[JobStatusEvent]:
    """Jobs that began 41 days ago and ended 40 days ago, and one that goes on."""
    found = []
    for number in range(count):
        found += [
            made(f"old-{number}", "processing", 41, 2 * number),
            made(f"old-{number}", "success", 40, 2 * number + 1),
        ]
    return [*found, made("open", "processing", 40, 999), made("new", "success", 0, 998)]


def purge(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    flags = ["--status", "success,error", "--older-than", "30d", "--yes", "--json"]
    found: dict[str, Any] = json.loads(run_inside(deployed, "purge", *flags, *arguments, code=code).stdout)
    return found


def drain(deployed: Deployment) -> None:
    run_inside(deployed, "consume", "--until-caught-up")


def verified(deployed: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "verify", "--json").stdout)
    return found


@pytest.fixture
def purged(deployed: Deployment) -> Deployment:
    """A deployment whose 20 old jobs were purged."""
    deployed.produce_events(old_jobs())
    drain(deployed)
    done = purge(deployed)
    assert (done["purged"], done["rows"], done["complete"]) == (20, {"success": 20}, True)
    assert deployed.rows().keys() == {"open", "new"}
    return deployed


def test_a_dry_run_and_the_question_change_nothing(deployed: Deployment) -> None:
    deployed.produce_events(old_jobs())
    drain(deployed)
    before = deployed.rows()
    flags = ["--status", "success,error", "--older-than", "30d"]
    shown = run_inside(deployed, "purge", *flags, "--dry-run").stdout
    assert "rows to purge" in shown
    assert json.loads(run_inside(deployed, "purge", *flags, "--dry-run", "--json").stdout)["rows"] == {"success": 20}
    assert "give --yes" in run_inside(deployed, "purge", *flags, code=2).stderr
    assert deployed.rows() == before


def test_no_way_of_reading_the_log_again_brings_a_purged_job_back(purged: Deployment) -> None:
    assert json.loads(run_inside(purged, "replay", "--dry-run", "--json").stdout)["rows_that_would_change"] == 0
    assert json.loads(run_inside(purged, "replay", "--yes", "--json").stdout)["applied"] == 0
    run_inside(purged, "offsets", "reset", "--to", "beginning", "--yes")
    drain(purged)
    purged.produce([("old-1", encode(made("old-1", "error", 40, -5)), [(LATE_HEADER, b"1")])])
    drain(purged)
    assert purged.rows().keys() == {"open", "new"}
    into = json.loads(run_inside(purged, "replay", "--into", "rebuilt", "--yes", "--json").stdout)
    assert into["applied"] == 2
    purged.table = "rebuilt"
    assert purged.rows().keys() == {"open", "new"}
    assert purged.query("SELECT count(*) FROM rebuilt_purged") == [(20,)]
    assert json.loads(run_inside(purged, "replay", "--yes", "--json").stdout)["applied"] == 0


def purge_a_job_with_a_dead_letter(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'refused')")
    deployed.produce_events([made("old-1", "refused", 41, 1)])
    drain(deployed)
    deployed.produce_events([made("old-1", "success", 40, 2)])
    drain(deployed)
    assert purge(deployed)["purged"] == 1


def test_a_dead_letter_of_a_purged_job_is_settled(deployed: Deployment) -> None:
    purge_a_job_with_a_dead_letter(deployed)
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")
    done = json.loads(run_inside(deployed, "dlq", "redrive", "--yes", "--json").stdout)
    assert (done["settled_before"], done["tried"]) == (1, 0)
    assert deployed.rows() == {}


def test_verify_explains_what_was_purged_and_history_says_it(purged: Deployment) -> None:
    found = verified(purged)
    assert found["missing"] == 0
    assert [count for why, count in found["explained"].items() if why.startswith("purged")] == [20]
    assert "purged" in run_inside(purged, "verify").stdout
    told = json.loads(run_inside(purged, "history", "old-1", "--json").stdout)
    assert [item["outcome"] for item in told["events"]] == ["superseded", "purged"]
    assert "was purged" in told["remarks"][0]
    assert told["purged_at"] is not None
    assert "was purged" in run_inside(purged, "history", "old-1").stdout


def test_a_job_that_has_news_after_its_purge_comes_back(purged: Deployment) -> None:
    purged.produce_events([made("old-1", "processing", 0, 1)])
    assert json.loads(run_inside(purged, "history", "old-1", "--json").stdout)["events"][-1]["outcome"] == "waiting"
    assert verified(purged)["missing"] == 0, "it is not written yet, and so it is not judged"
    assert json.loads(run_inside(purged, "verify", "--to", "now", "--json", code=1).stdout)["missing"] == 1
    drain(purged)
    assert purged.rows().keys() == {"old-1", "open", "new"}
    assert verified(purged)["missing"] == 0
    assert json.loads(run_inside(purged, "replay", "--yes", "--json").stdout)["applied"] == 0
    into = json.loads(run_inside(purged, "replay", "--into", "rebuilt", "--yes", "--json").stdout)
    assert into["applied"] == 3
    purged.produce_events([made("old-1", "success", 35, 2)])
    drain(purged)
    assert purge(purged)["purged"] == 0, "the time of its newest event counts"


def test_purged_jobs_are_forgotten_once_nothing_of_them_can_come_any_more(purged: Deployment) -> None:
    time.sleep(1.1)
    assert purge(purged, "--forget-after", "1h")["forgotten"] == 0
    assert purge(purged, "--forget-after", "1s")["forgotten"] == 0, "the topic has their events"
    remove_records(purged.bootstrap, purged.topic, purged.ends())
    forgotten = run_inside(purged, "purge", "--forget-after", "1s", "--yes").stdout
    assert "20 purged jobs forgotten" in forgotten
    assert purged.query("SELECT count(*) FROM jobs_purged") == [(0,)]


def test_what_a_dead_letter_may_bring_is_not_forgotten(deployed: Deployment) -> None:
    purge_a_job_with_a_dead_letter(deployed)
    remove_records(deployed.bootstrap, deployed.topic, deployed.ends())
    time.sleep(1.1)
    assert purge(deployed, "--forget-after", "1s")["forgotten"] == 0


def test_a_row_that_another_table_needs_stays_and_the_message_says_so(deployed: Deployment) -> None:
    deployed.produce_events(old_jobs(3))
    drain(deployed)
    deployed.query("CREATE TABLE notes (job_id text REFERENCES jobs)")
    deployed.query("INSERT INTO notes VALUES ('old-1')")
    flags = ["--status", "success", "--older-than", "30d", "--yes"]
    assert "ON DELETE CASCADE" in run_inside(deployed, "purge", *flags, code=1).stderr
    assert len(deployed.rows()) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--status", "success"], "go together"),
        ([], "nothing to do"),
        (["--status", "success", "--older-than", "0s"], "1s to 3650d"),
        (["--status", "success", "--older-than", "3651d"], "1s to 3650d"),
        (["--status", ",", "--older-than", "1d"], "names no status"),
    ],
)
def test_a_purge_without_a_clear_order_is_refused(deployed: Deployment, arguments: list[str], words: str) -> None:
    assert words in run_inside(deployed, "purge", *arguments, code=2).stderr


def test_while_a_purge_is_in_its_gate_no_write_runs_and_the_next_one_sees_it(deployed: Deployment) -> None:
    """A write that waited for the purge must not insert the row again: its snapshot is taken after its locks."""
    deployed.produce_events(old_jobs(1))
    drain(deployed)
    with psycopg.connect(deployed.database_url) as purging:
        purging.execute("LOCK TABLE jobs_progress IN SHARE ROW EXCLUSIVE MODE")
        replaying = deployed.watching("replay", "--yes", "--json")
        blocked = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'jobs_progress'::regclass"
        deadline = time.monotonic() + 60
        while not deployed.query(blocked)[0][0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        purging.execute(
            "WITH gone AS (DELETE FROM jobs WHERE job_id = 'old-0' RETURNING *) INSERT INTO jobs_purged"
            " SELECT job_id, attempt, latest_occurred_at, log_id, log_offset, now() FROM gone"
        )
    assert replaying.process.wait(60) == 0
    assert json.loads(replaying.text())["applied"] == 0
    assert deployed.rows().keys() == {"open", "new"}
