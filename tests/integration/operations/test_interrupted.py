"""What ends a command halfway: a kill, retention, a broker that takes no commit. And what somebody watching sees."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.operations import offsets
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.topics import remove_records
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_rebuild_that_is_killed_leaves_no_table_and_runs_again(deployed: Deployment) -> None:
    deployed.produce_events(made_events(80_000, 10_000))
    # a transaction that has written something: nobody else's eyes see more of the new table
    mine = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
    process = Command[bytes](
        [COMMAND, "replay", "--into", "rebuilt", "--yes"],
        env=deployed.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    until(lambda: deployed.query(mine) or process.poll() is not None, "the table is being filled", every=0.005)
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -9, "it was killed before it was done"
    until(lambda: not deployed.query(mine), "the server has noticed")
    assert not deployed.query("SELECT relname FROM pg_class WHERE starts_with(relname, 'rebuilt')")
    run_inside(deployed, "replay", "--into", "rebuilt", "--yes")
    deployed.table = "rebuilt"
    deployed.assert_exact()


def test_retention_that_overtakes_a_replay_ends_it_with_facts(deployed: Deployment) -> None:
    # more than the client fetches ahead, so that what is removed has not been fetched yet
    large = [event._replace(error_message="x" * 8_000) for event in made_events(4_000, 100)]
    deployed.produce_events(large)
    # half a minute for all, so that what is removed comes in time on a slow machine, too; little is fetched ahead
    command = [COMMAND, "replay", "--yes", "--max-rate", "150", "--name", "slow"]
    small = dict.fromkeys(("QUEUED_MAX_MESSAGES_KBYTES", "FETCH_QUEUE_BACKOFF_MS"), "100")
    small |= {"MAX_PARTITION_FETCH_BYTES": "100000"}
    environ = deployed.environ | {f"JOBSTATUS_KAFKA_{name}": value for name, value in small.items()}
    process = Command[str](command, env=environ, stderr=subprocess.PIPE, text=True)
    until(deployed.rows, "the first rows")
    ends = deployed.ends()
    remove_records(deployed.bootstrap, deployed.topic, {number: end - 20 for number, end in ends.items()})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "no longer has what comes next: retention or a truncation was faster" in said
    assert "Traceback" not in said
    # it goes on with what is there when it is told where
    beginnings = ",".join(f"{number}:{end - 20}" for number, end in ends.items())
    run_inside(deployed, "replay", "--yes", "--from", beginnings)
    assert deployed.rows().items() >= deployed.expected().items()


def test_a_reset_whose_commit_fails_loses_nothing(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.produce_events(made_events(600, 80))
    deployed.drain()
    committed = deployed.committed()

    def refuse(*_: Any) -> None:
        raise BrokerAwayError("committing: no answer")

    for where in ("beginning", "now"):
        deployed.produce_events(made_events(300, 80, seed=len(where)))
        with monkeypatch.context() as patch:
            patch.setattr(offsets, "reset", refuse)
            failed = run_inside(deployed, "offsets", "reset", "--to", where, "--yes", code=1)
        assert "committing: no answer" in failed.stderr
        assert deployed.committed() == committed
        deployed.drain()
        deployed.assert_exact()
        assert deployed.lag() == 0
        committed = deployed.committed()


def test_a_table_of_which_nothing_was_judged_is_not_called_right(deployed: Deployment) -> None:
    deployed.produce_events(made_events(300, 30))
    run_inside(deployed, "replay", "--yes")
    said = run_inside(deployed, "verify")
    assert "300 offsets are not judged" in said.stderr
    assert "nothing was judged" in said.stdout
    assert "the table says what the log says" not in said.stdout
    assert "the table says what the log says" in run_inside(deployed, "verify", "--to", "now").stdout


@contextmanager
def terminal(command: list[str], environ: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], list[bytes]]]:
    """The command with a terminal of 120 columns for its messages, and what appears there."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []
    wide = {**environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = Command[bytes](command, env=wide, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)

    def look() -> None:
        try:
            while found := os.read(ours, 4096):
                shown.append(found)
        except OSError:
            pass  # on Linux the end of the other side

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield process, shown
    finally:
        process.kill()
        process.wait(30)
        looker.join(30)
        os.close(ours)


def test_on_a_terminal_a_bar_shows_rate_and_time_left(deployed: Deployment) -> None:
    deployed.produce_events(made_events(3_000, 300))
    command = [COMMAND, "replay", "--yes", "--json", "--max-rate", "1500"]
    with terminal(command, deployed.environ) as (process, shown):
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, b"".join(shown)
    assert json.loads(out)["applied"] > 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(shown).decode())
    assert re.search(r"replaying .*━.* \d+/3000 .*[\d,]+/s +0:00:0\d", text), text[-2000:]
    assert "3000/3000" in text
