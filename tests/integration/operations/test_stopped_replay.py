"""A replay that was stopped, or of which the database refused something, is gone on with exactly."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import Any

import pytest
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def one_each(count: int) -> list[Any]:
    """Events of as many jobs, so that rows count what was written."""
    return [event._replace(job_id=f"job-{number}") for number, event in enumerate(made_events(count, count))]


def sum_of(offsets: str) -> int:
    return sum(int(pair.partition(":")[2]) for pair in offsets.split(","))


def test_a_named_replay_does_again_what_the_database_refused(deployed: Deployment) -> None:
    deployed.produce_events(made_events(600, 60))
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    arguments = ["replay", "--name", "n1", "--yes"]
    for _ in range(2):
        assert "the database refused" in run_inside(deployed, *arguments, code=1).stderr
        assert deployed.rows() != deployed.expected()
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")
    run_inside(deployed, *arguments)
    deployed.assert_exact()
    done = json.loads(run_inside(deployed, *arguments, "--json").stdout)
    assert (done["events"], done["complete"]) == (0, True), "its place is at the end now"


def stopped_when_it_has_rows(deployed: Deployment, *arguments: str) -> str:
    """What the replay says, of 50 events a second, that is stopped a little after its first rows."""
    started = time.monotonic()
    slow = ["--max-rate", "50", *arguments]
    process = Command[str](
        [COMMAND, "replay", "--yes", *slow],
        env=deployed.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(deployed.rows, "the first rows")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert len(deployed.rows()) <= 50 * (time.monotonic() - started + 1), "a stop is no end of the rate"
    return said


def test_after_ctrl_c_at_a_slow_rate_the_place_is_what_was_written(deployed: Deployment) -> None:
    deployed.produce_events(one_each(4_000))
    said = stopped_when_it_has_rows(deployed)
    match = re.search(r"with --from (\S+) --to (\S+)$", said.strip())
    assert match, said
    assert len(deployed.rows()) == sum_of(match[1]), "every event before the place, and none after it"
    assert sum_of(match[1]) < sum_of(match[2]) == 4_000
    done = json.loads(run_inside(deployed, "replay", "--from", match[1], "--to", match[2], "--yes", "--json").stdout)
    assert done["applied"] == 4_000 - sum_of(match[1]), "nothing is done twice"
    deployed.assert_exact()


def test_after_ctrl_c_the_kept_place_is_what_was_written(deployed: Deployment) -> None:
    deployed.produce_events(one_each(4_000))
    said = stopped_when_it_has_rows(deployed, "--name", "slow")
    assert "give --name slow and the same options to go on" in said
    written = len(deployed.rows())
    done = json.loads(run_inside(deployed, "replay", "--name", "slow", "--yes", "--json").stdout)
    assert done["events"] == done["applied"] == 4_000 - written
    deployed.assert_exact()


def test_after_ctrl_c_a_print_goes_on_where_it_says(deployed: Deployment) -> None:
    events = made_events(6_000, 6_000)
    deployed.produce_events(event._replace(job_id=f"job-{number}") for number, event in enumerate(events))
    process = Command[bytes](
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
