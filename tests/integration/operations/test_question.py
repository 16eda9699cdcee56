"""A signal while the command asks whether it may: nothing is changed, and it ends at once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time

import pytest
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.waiting import readable

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_question_ends_the_command(deployed: Deployment, number: signal.Signals) -> None:
    deployed.produce_events(made_events(20, 5))
    ours, theirs = pty.openpty()
    process = Command[bytes](
        [COMMAND, "replay"], env=deployed.environ, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        said = b""
        while b"[y/N]" not in said:
            said += os.read(process.stderr.fileno(), 4096) or pytest.fail(said.decode())
        process.send_signal(number)
        # one that comes just before the answer is waited for is only noted; a person presses again
        while not readable(process.stderr, 5.0):
            process.send_signal(number)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate(timeout=30)
        os.close(theirs)
        os.close(ours)
    assert process.returncode == 1
    assert rest.decode().endswith("\njobstatus: nothing was changed\n")
    assert deployed.rows() == {}


@pytest.mark.parametrize("arguments", [["verify"], ["replay", "--yes"]])
def test_a_signal_while_no_broker_answers_ends_the_command(deployed: Deployment, arguments: list[str]) -> None:
    process = Command[bytes](
        [COMMAND, *arguments, "--bootstrap-servers", "127.0.0.1:1"], env=deployed.environ, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        # the client says once that it goes on trying: the question is under way
        said = process.stderr.readline()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert b"goes on trying" in said
    assert process.returncode == 1
    assert rest.decode().splitlines()[-1].endswith("stopped before the broker answered")
    assert time.monotonic() - started < 20, "and not when all tries are over"
