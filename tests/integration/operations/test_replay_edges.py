"""Replay at its edges: what is empty or unknown, a plan of a new table, a print that is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest
from support.deployment import COMMAND, Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND starts_with(relname, 'new')"
BAD = (
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
    for arguments, words in BAD:
        done = run_inside(deployed, "replay", *arguments, "--yes", code=2)
        assert words in done.stderr, done.stderr
    assert deployed.rows() == {}


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "0001-01-01T00:00Z", "3000w ago"])
def test_a_time_before_the_epoch_is_before_all_events(deployed: Deployment, text: str) -> None:
    deployed.produce_events(made_events(50, 10))
    done = run_inside(deployed, "replay", "--from", text, "--dry-run", "--json")
    assert json.loads(done.stdout)["events"] == 50


def test_after_ctrl_c_a_print_goes_on_where_it_says(deployed: Deployment) -> None:
    events = made_events(6_000, 6_000)
    deployed.produce_events(event._replace(job_id=f"job-{number}") for number, event in enumerate(events))
    process = subprocess.Popen(
        [COMMAND, "replay", "--print"], env=deployed.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    # nobody reads on, so that it cannot come to its end before the signal
    first = os.read(process.stdout.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 1
    match = re.search(r"with (--from \S+) (--to \S+)$", said.decode().strip())
    assert match, said
    rest = run_inside(deployed, "replay", "--print", *match[1].split(), *match[2].split()).stdout
    lines = (first + out).decode().splitlines() + rest.splitlines()
    jobs = [json.loads(line)["job_id"] for line in lines]
    assert sorted(jobs) == sorted(f"job-{number}" for number in range(6_000))


@pytest.mark.parametrize("into", [[], ["--into", "new"]])
def test_nothing_is_made_or_written_for_jobs_without_events(deployed: Deployment, into: list[str]) -> None:
    deployed.produce_events(made_events(100, 10))
    for arguments in (["--yes"], ["--dry-run"], ["--dry-run", "--json"]):
        done = run_inside(deployed, "replay", *into, "--job-id", "nope", *arguments, code=1)
        assert "no event of 1 of the jobs" in done.stderr
        assert "'nope'" in done.stderr
    if into:
        # a table of the others alone would have to be dropped before it could be made again
        some = run_inside(deployed, "replay", *into, "--job-id", "job-1", "--job-id", "nope", "--yes", code=1)
        assert "'nope'; nothing was changed" in some.stderr
    assert deployed.query(TABLES) == []
    assert deployed.rows() == {}


def test_a_named_replay_of_unknown_jobs_fails_the_first_time(deployed: Deployment) -> None:
    deployed.produce_events(made_events(100, 10))
    first = run_inside(deployed, "replay", "--name", "y", "--job-id", "nope", "--yes", code=1)
    assert "no event of 1 of the jobs" in first.stderr
    run_inside(deployed, "replay", "--name", "z", "--job-id", "job-1", "--yes")
    for last in ("--dry-run", "--yes"):
        # what it met before is done
        run_inside(deployed, "replay", "--name", "z", "--job-id", "job-1", last)


def test_the_plan_of_a_new_table_tells_its_rows(deployed: Deployment) -> None:
    deployed.produce_events(made_events(300, 30))
    deployed.drain()
    jobs = len(deployed.rows())
    said = run_inside(deployed, "replay", "--into", "new", "--dry-run").stderr
    assert f"300 records, 300 events wanted, of {jobs} jobs" in said
    assert f"new and new_progress would be made, with {jobs} rows" in said
    assert len(re.findall(r"^  job-\d+: new row, - -> \S+@\d+$", said, re.M)) == 10
    assert f"... and {jobs - 10} more" in said
    told = json.loads(run_inside(deployed, "replay", "--into", "new", "--dry-run", "--json").stdout)
    assert (told["into"], told["events"], told["new_rows"], told["changed_rows"]) == ("new", 300, jobs, 0)
    assert "status" not in told["examples"][0]
    assert deployed.query(TABLES) == []
    done = json.loads(run_inside(deployed, "replay", "--into", "new", "--yes", "--json").stdout)
    assert done["applied"] == told["new_rows"]
    assert f"300 events into new2: {jobs} rows made" in run_inside(deployed, "replay", "--into", "new2", "--yes").stdout


def test_a_result_tells_events_and_a_plan_tells_rows(deployed: Deployment) -> None:
    # more than a statement takes, so that a job's row changes in each of them
    deployed.produce_events(made_events(1_200, 20))
    assert "20 rows would change" in run_inside(deployed, "replay", "--dry-run").stderr
    match = re.search(
        r"1,200 events into jobs: (\d+) applied, ([\d,]+) merged", run_inside(deployed, "replay", "--yes").stdout
    )
    assert match
    assert int(match[1]) > 20
    assert int(match[1]) + int(match[2].replace(",", "")) == 1_200
