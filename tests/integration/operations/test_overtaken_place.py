"""A named place of which retention has taken what comes next."""

from __future__ import annotations

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.topics import remove_records

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_named_replay_goes_on_though_retention_removed_what_it_had_done(deployed: Deployment) -> None:
    events = made_events(400, 400)
    deployed.produce_events(event._replace(job_id=f"job-{number}") for number, event in enumerate(events))
    first = ["replay", "--from", "0:5", "--name", "n", "--yes"]
    run_inside(deployed, *first, "--to", "0:60")
    remove_records(deployed.bootstrap, deployed.topic, {0: 20})
    end = deployed.ends()[0]
    said = run_inside(deployed, *first).stderr
    assert "going on with n at 0:60" in said
    assert "retention" not in said
    assert len(deployed.rows()) == end - 5
    remove_records(deployed.bootstrap, deployed.topic, {0: 70})
    assert "0 events into" in run_inside(deployed, *first, "--to", "0:60").stdout


def test_a_named_place_that_retention_overtook_says_what_is_lost_and_how_to_go_on(deployed: Deployment) -> None:
    events = made_events(400, 400)
    deployed.produce_events(event._replace(job_id=f"job-{number}") for number, event in enumerate(events))
    run_inside(deployed, "replay", "--name", "w", "--to", "0:10,1:10,2:10,3:10", "--yes")
    remove_records(deployed.bootstrap, deployed.topic, {1: 30})
    there = "0:10,1:30,2:10,3:10"
    for arguments in (["--yes"], ["--dry-run"]):
        said = run_inside(deployed, "replay", "--name", "w", *arguments, code=1).stderr
        assert "never written, offsets 1:10-30. " in said
        assert f"give another --name and --from {there}," in said
    run_inside(deployed, "replay", "--name", "w2", "--from", there, "--yes")
    assert len(deployed.rows()) == 380
