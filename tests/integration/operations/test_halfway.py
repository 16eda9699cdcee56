"""What ends a command halfway, or is missing from the start: nothing is removed or changed that was not looked at."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from typing import Any, NoReturn

import psycopg
import pytest
from jobstatus_consumer.cli import dlq
from jobstatus_consumer.errors import DatabaseAwayError, StartError
from jobstatus_consumer.operations import offsets
from jobstatus_consumer.store import Table
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def with_open_letters(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    deployed.produce_events(made_events(80, 8))
    deployed.drain()


@pytest.mark.parametrize("step", ["survey", "agreed"])
@pytest.mark.parametrize("even", [[], ["--even-open"]])
def test_a_purge_that_is_stopped_removes_nothing(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch, step: str, even: list[str]
) -> None:
    with_open_letters(deployed)
    before = run_inside(deployed, "dlq", "list", "--json").stdout
    whole = getattr(dlq, step)

    def stopped(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(*given, **named)

    monkeypatch.setattr(dlq, step, stopped)
    done = run_inside(deployed, "dlq", "purge", "--before", "now", "--yes", *even, code=1)
    assert "nothing was removed" in done.stderr
    monkeypatch.undo()
    assert run_inside(deployed, "dlq", "list", "--json").stdout == before


def test_a_redrive_that_is_stopped_while_it_plans_changes_nothing(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_open_letters(deployed)
    whole = getattr(dlq, "redrive")  # noqa: B009 - it is not exported

    def stopped(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(*given)

    monkeypatch.setattr(dlq, "redrive", stopped)
    done = run_inside(deployed, "dlq", "redrive", "--dry-run", code=1)
    assert (done.stdout, done.stderr) == ("", "jobstatus: stopped; nothing was changed\n")


def test_a_reset_that_got_as_far_as_the_table_says_so(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.produce_events(made_events(20, 5))
    deployed.drain()

    def refused(*_: object) -> NoReturn:
        raise StartError("somebody came; nothing was changed")

    monkeypatch.setattr(offsets, "reset", refused)
    done = run_inside(deployed, "offsets", "reset", "--to", "beginning", "--yes", code=1)
    assert "somebody came. The table's progress is moved already" in done.stderr
    assert "nothing was changed" not in done.stderr


def test_a_table_that_another_session_makes_at_the_same_time_is_left_alone(deployed: Deployment) -> None:
    deployed.produce_events(made_events(20, 5))
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE 'CREATE TABLE%'"
    )
    with psycopg.connect(deployed.database_url) as theirs:
        theirs.execute("CREATE TABLE twice (theirs integer)")

        def commit_once_the_command_waits() -> None:
            until(lambda: deployed.query(waiting), "the command waits for their table")
            theirs.commit()

        # until their transaction ends, only the command's own CREATE TABLE can see that the name is taken
        meanwhile = threading.Thread(target=commit_once_the_command_waits)
        meanwhile.start()
        done = run_inside(deployed, "replay", "--into", "twice", "--yes", code=1)
        meanwhile.join(60)
    assert "twice was made by another session just now; nothing was changed" in done.stderr
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'twice'"
    assert deployed.query(columns) == [("theirs",)]


AWAY = "the server closed the connection"


@pytest.mark.parametrize(
    ("arguments", "method", "said"),
    [
        (["verify"], "differing", f"{AWAY}. Nothing is known of the rest; run it again"),
        (["verify", "--repair"], "differing", AWAY),
        (["replay", "--dry-run"], "states", AWAY),
        (["replay", "--yes", "--existing-only", "--wait-for-database", "0"], "locked", AWAY),
        (["dlq", "list"], "states", AWAY),
        (["dlq", "redrive", "--yes"], "states", AWAY),
    ],
)
def test_a_database_that_goes_away_in_the_middle_ends_what_reads_the_log(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch, arguments: list[str], method: str, said: str
) -> None:
    with_open_letters(deployed)

    def away(*_: object) -> NoReturn:
        raise DatabaseAwayError(AWAY)

    unraisable: list[object] = []
    monkeypatch.setattr(Table, method, away)
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    done = run_inside(deployed, *arguments, code=1)
    gc.collect()
    assert said in done.stderr
    assert unraisable == []


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        ("2>&-", "verify", 0),
        ("2>&-", "replay --dry-run", 0),
        ("2>&-", "replay --yes", 0),
        (">&-", "dlq list", 0),
        (">&-", "history job-1", 0),
        ("<&-", "replay", 2),
        ("<&-", "emit", 2),
    ],
)
def test_a_closed_stream_is_no_reason_to_fail(deployed: Deployment, closed: str, arguments: str, code: int) -> None:
    deployed.produce_events([event._replace(job_id="job-1") for event in made_events(5, 1)])
    deployed.drain()
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" {arguments} {closed}', COMMAND],
        env=deployed.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["replay", "--print"], ""),
        (["replay", "--yes"], "; 60 events are applied to jobs; up to 0:"),
        (["replay", "--yes", "--json"], "; 60 events are applied to jobs; up to 0:"),
        (["replay", "--into", "beside", "--yes"], "; beside is made and filled"),
        (["dlq", "redrive", "--yes"], "; jobs has what could be applied"),
        (["offsets", "reset", "--to", "now", "--yes"], "; the group "),
        (["verify"], ""),
        (["dlq", "list"], ""),
        (["history", "job-1"], ""),
        (["consume", "--until-caught-up"], "; the events that were written are committed"),
        (["--help"], ""),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_an_output_that_is_full_is_named_with_what_is_true_all_the_same(
    deployed: Deployment, arguments: list[str], known: str
) -> None:
    deployed.produce_events(event._replace(job_id=f"job-{at}") for at, event in enumerate(made_events(60, 60)))
    # as for an operator: what was refused is tried again at the end of the process
    environ = {**deployed.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "wb") as full:
        process = Command[str](
            [COMMAND, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            _, said = process.communicate(timeout=60)
    last = said.splitlines()[-1]
    assert last.startswith(f"jobstatus: the output could not be written: No space left on device{known}")
    assert bool(known) or last.endswith("device")
    assert "Traceback" not in said
    assert process.returncode == 1


def test_a_character_that_the_output_cannot_hold_is_named(deployed: Deployment) -> None:
    environ = {**deployed.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([COMMAND, "history", "😀"], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "jobstatus: there is no retained event and no row of '\\U0001f600'\n"
