"""What a replay's plan and result say, of a new table too, and of jobs that have no event."""

from __future__ import annotations

import json
import re

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND starts_with(relname, 'new')"


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
    said = run_inside(deployed, "replay", "--into", "new", "--dry-run").stdout
    assert f"300 records, 300 events wanted, of {jobs} jobs" in said
    assert f"new and new_progress would be made, with {jobs} rows" in said
    assert len(re.findall(r"^  job-\d+: new row, - -> \d+:\d+$", said, re.M)) == 10
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
    assert "20 rows would change" in run_inside(deployed, "replay", "--dry-run").stdout
    match = re.search(
        r"1,200 events into jobs: (\d+) applied, ([\d,]+) merged", run_inside(deployed, "replay", "--yes").stdout
    )
    assert match
    assert int(match[1]) > 20
    assert int(match[1]) + int(match[2].replace(",", "")) == 1_200
