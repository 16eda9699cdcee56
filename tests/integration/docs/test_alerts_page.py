"""Every command of the runbooks, run as a person on call would type it."""

from __future__ import annotations

import shlex

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.pages import ROOT, blocks

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

COMMANDS = [
    line
    for block in blocks(ROOT / "docs" / "how-to" / "alerts.md")
    if block.runs
    for line in block.text.splitlines()
    if line
]


def test_every_command_of_the_runbooks_says_something(deployed: Deployment) -> None:
    deployed.produce_events(made_events(20, 5))
    deployed.drain()
    assert len(COMMANDS) == 5
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        done = run_inside(deployed, *arguments, code=None)
        # 1 says that there is something to do: no consumer runs here, and no job is stuck
        assert (program, done.returncode in (0, 1)) == ("jobstatus", True), f"{line}: {done.stderr}"
        assert done.stdout, line
