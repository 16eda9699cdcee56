"""Replay at its edges: what is empty or unknown, a plan of a new table, a print that is stopped."""

from __future__ import annotations

import json

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

BAD = (
    (["--into", ""], "--into is empty"),
    (["--name", ""], "--name is empty"),
    (["--status", "error", "--status", ""], "--status is empty"),
    (["--job-id", ""], "--job-id is empty"),
    (["--into", "", "--name", "x"], "--into is empty"),
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
