"""From the assignment to the first row: no pause, no seek and no linger is between them.

The machine may be busy, so the quickest of several starts counts: each of the three costs half a second or more.
"""

from __future__ import annotations

import re

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

STARTS = 12
WANTED = 0.4


def seconds_to_the_first_batch(log: str) -> float:
    def at(words: str) -> float:
        line = re.search(rf"^.*?(\d+):(\d+):(\d+)[.,](\d+).*{words}", log, re.MULTILINE)
        assert line is not None, log
        hours, minutes, seconds, fraction = line.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")

    return (at("Batch updated") - at("got partitions")) % 86_400


def test_the_first_row_is_there_at_once_after_the_assignment(deployed: Deployment) -> None:
    found = []
    for number in range(STARTS):
        deployed.produce_events(made_events(4, 4, seed=number))
        found.append(seconds_to_the_first_batch(run_inside(deployed, "consume", "--until-caught-up").stderr))
        if found[-1] < WANTED:
            return
    pytest.fail(f"the quickest of {STARTS} starts took {min(found)} s from the assignment to the first batch")
