"""Texts that look like markup of the screen: each command shows them as they are."""

from __future__ import annotations

import time

import pytest
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MARKUP = "j[/x]"


def made(number: int, job_id: str, status: str, error_message: str | None = None) -> JobStatusEvent:
    now = int(time.time() * 1e6)
    return JobStatusEvent(
        f"00000000-0000-0000-0000-{number:012d}", job_id, status, error_message, None, "w[0]", now + number
    )


def test_texts_that_look_like_markup_are_shown_as_they_are(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT \"[/c]\" CHECK (status <> '[/refused]')")
    deployed.produce_events(
        [
            made(1, MARKUP, "[b]x", "cannot open [/tmp/x] :smile:"),
            made(2, "other", "[/x]"),
            made(3, "third", "[/refused]"),
        ]
    )
    deployed.drain("--group-id", f"{deployed.group}[/g]")
    explained = run_inside(deployed, "history", MARKUP, "--show-values").stdout
    for words in (MARKUP, "[b]x", "w[0]"):
        assert words in explained
    # a cell that is too narrow breaks at a space
    assert "[/tmp/x]" in explained
    assert ":smile:" in explained
    counted = run_inside(deployed, "status", "--group-id", f"{deployed.group}[/g]").stdout
    for words in ("[/g]: empty", "│ [/x] ", "│ [b]x "):
        assert words in counted
    assert "[/g]: empty" in run_inside(deployed, "offsets", "show", "--group-id", f"{deployed.group}[/g]").stdout
    for more in ((), ("--each",)):
        assert "[/c]" in run_inside(deployed, "dlq", "list", *more).stdout
