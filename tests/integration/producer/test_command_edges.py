"""What `jobstatus emit`, `run` and `spool` do at the edges: a refusal, no broker, an odd input, an odd command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from integration.producer.conftest import Environ
from integration.producer.test_commands import NOBODY, jobstatus
from support.fixture_types import MakeTopic

LONG = "x" * 2000


@pytest.mark.parametrize("flags", [["--wait"], []])
def test_emit_is_1_for_an_event_that_the_broker_refuses_and_the_spool_keeps(
    make_topic: MakeTopic, environ: Environ, tmp_path: Path, flags: list[str]
) -> None:
    environment = environ(make_topic(max_message_bytes=300), SPOOL_DIR=tmp_path)
    event = ["--job-id", "big", "--status", "error", "--error-message", LONG]
    seen = jobstatus(environment, "emit", *event, *flags)
    assert seen.returncode == 1
    assert "1 events were refused by the broker; they are kept: jobstatus spool list --refused" in seen.stderr
    (line,) = jobstatus(environment, "spool", "list", "--refused").stdout.splitlines()
    assert json.loads(line)["job_id"] == "big"


def test_emit_ends_when_the_spool_has_the_event_and_the_broker_is_known_to_be_away(tmp_path: Path) -> None:
    # a timeout that is longer than a test may take: only the spool can have ended the wait
    flags = ["--job-id", "a", "--status", "ok", "--timeout", "3600", "--spool-dir", str(tmp_path)]
    seen = jobstatus(NOBODY, "emit", *flags)
    assert seen.returncode == 0
    assert "jobstatus: 1 events are in the spool: the broker has not acknowledged them yet" in seen.stderr
