"""`jobstatus status`: what an operator sees at night, with one side missing too."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
import time
from typing import Any

import pytest
from support.deployment import Deployment, locked, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

NOBODY = "127.0.0.1:1"
NO_DATABASE = "postgresql://somebody@127.0.0.1:1/database"


def status(deployed: Deployment, *arguments: str, code: int = 0, **environ: str) -> dict[str, Any]:
    done = run_inside(deployed, "status", "--json", *arguments, code=code, **environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_with_one_side_missing_the_other_is_shown(deployed: Deployment) -> None:
    deployed.produce_events(made_events(40, 10))
    found = status(deployed, code=1, JOBSTATUS_DATABASE_URL=NO_DATABASE)
    assert (found["lag"], found["rows"]) == (40, None)
    assert found["waiting_for"][0] == "the database, which does not answer"
    assert "JOBSTATUS_DATABASE_URL" in found["problems"][0]
    assert found["lag_seconds"] > 0
    run_inside(deployed, "consume", "--until-caught-up")
    started = time.monotonic()
    done = run_inside(deployed, "status", code=1, JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=NOBODY)
    assert time.monotonic() - started < 25, "it gives the broker up after 4 s, and not after half a minute"
    assert "last write: " in done.stdout
    assert "waiting for a broker" in done.stdout
    assert "success" in done.stdout
    assert f"no broker answers at {NOBODY}" in done.stderr


def test_the_lag_is_what_the_table_lacks_and_its_age_decides_the_exit_code(deployed: Deployment) -> None:
    deployed.produce_events(made_events(40, 10))
    deployed.produce([(f"job-{number}", b"rubbish", ()) for number in range(3)])
    run_inside(deployed, "consume", "--until-caught-up")
    found = status(deployed, "--fail-if-lag-seconds", "0")
    assert (found["lag"], found["open_dead_letters"], found["all_dead_letters_read"]) == (0, 3, True)
    deployed.query("TRUNCATE jobs, jobs_progress")
    found = status(deployed, "--fail-if-lag-seconds", "600")
    assert sum(item["committed"] for item in found["partitions"]) == 43
    assert sum(item["table"] for item in found["partitions"]) == 0
    assert found["lag"] == 43, "the group has committed all, and the table is empty"
    assert 0 < found["lag_seconds"] < 600
    assert found["oldest_unwritten"].endswith("Z")
    done = run_inside(deployed, "status", "--fail-if-lag-seconds", "0.001", code=1)
    assert "the oldest unwritten event is " in done.stderr
    assert "waiting for a consumer: the group" in done.stdout


def test_the_members_their_partitions_and_the_lock_that_they_wait_for_are_shown(deployed: Deployment) -> None:
    consumer = deployed.consumer()
    deployed.produce_events(made_events(40, 10))
    deployed.settled()
    watching = deployed.watching("status", "--watch", "--json")
    shown = run_inside(deployed, "status", COLUMNS="80").stdout
    assert "1 member," in shown
    assert max(map(len, shown.splitlines())) <= 80, shown
    assert [item["partitions"] for item in status(deployed)["member_list"]] == [[0, 1, 2, 3]]
    with locked(deployed):
        deployed.produce_events(made_events(40, 10, seed=2))

        def lock_is_named() -> bool:
            return "a lock of the session pid" in watching.text()

        until(lock_is_named, "the lock is named", every=0.2)
    after = len(watching.text())
    until(lambda: '"lag": 0, ' in watching.text()[after:], "it is written", every=0.2)
    assert watching.stop() == 0
    assert consumer.stop() == 0


def test_watch_redraws_one_overview_in_a_terminal_and_gives_the_terminal_back(deployed: Deployment) -> None:
    keyboard, terminal = pty.openpty()
    environ = {**deployed.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    process = Command[bytes](
        [COMMAND, "status", "--watch"], env=environ, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    shown = bytearray()
    reading = threading.Thread(target=_read_all, args=(keyboard, shown))
    reading.start()
    until(lambda: b"lag: 0" in shown, "the first overview", every=0.2)
    assert shown.count(b"\x1b[?1049h") == 1, "it has a screen of its own"
    deployed.produce_events(made_events(40, 10))
    until(lambda: b"lag: 40 (+40 in" in shown, "it is drawn again, and says what has changed", every=0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    reading.join(30)
    before, after = bytes(shown).split(b"\x1b[?1049l")
    assert b"Ctrl-C ends" in before
    assert b"lag 40" in after, "the last overview is left below what was there before"


def _read_all(descriptor: int, into: bytearray) -> None:
    try:
        while data := os.read(descriptor, 4096):
            into += data
    except OSError:
        pass  # the other end was closed: how a terminal ends
    os.close(descriptor)
