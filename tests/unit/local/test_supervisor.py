"""The supervisor, with `sleep` and `sh` instead of servers. The parents that die are real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobstatus_local.errors import LocalServerError
from jobstatus_local.process import NotReady, Supervisor
from support.processes import family, is_running, wait_until, wait_until_gone

SLEEP = ["sleep", "1000"]
DEAF = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]
#: A server with a child in a session of its own, as PostgreSQL's backends are.
WITH_CHILD = ["sh", "-c", "setsid sleep 1000 & echo ready; wait"]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close(grace=0.1)


def wait_for_output(log: Path, text: str) -> None:
    wait_until(lambda: log.exists() and text in log.read_text(), f"{text!r} in {log}")


def test_a_closed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    supervisor = Supervisor()
    pid = supervisor.start("server", SLEEP, tmp_path / "log")
    assert is_running(pid)
    supervisor.close()
    supervisor.close()
    assert not is_running(pid)
    assert not is_running(supervisor.pid)


def test_a_server_that_ignores_its_stop_signal_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    pid = supervisor.start("server", DEAF, tmp_path / "log")
    wait_for_output(tmp_path / "log", "deaf")
    supervisor.stop("server", signal.SIGTERM, timeout=0.2)
    assert supervisor.poll("server") == -signal.SIGKILL
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="adoption is Linux's")
def test_what_a_killed_server_leaves_is_killed_too(tmp_path: Path, supervisor: Supervisor) -> None:
    pid = supervisor.start("server", WITH_CHILD, tmp_path / "log")
    wait_for_output(tmp_path / "log", "ready")
    wait_until(lambda: len(family(pid)) == 2, "the server has its child")
    pids = family(pid)
    supervisor.stop("server", signal.SIGKILL, timeout=10)
    assert [is_running(pid) for pid in pids] == [False, False]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_killed_supervisor_takes_its_servers_along_and_says_so(tmp_path: Path, supervisor: Supervisor) -> None:
    pid = supervisor.start("server", SLEEP, tmp_path / "log")
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_until_gone([pid])
    with pytest.raises(LocalServerError, match=rf"the supervisor process {supervisor.pid} is gone"):
        supervisor.poll("server")


def test_an_interrupted_request_does_not_shift_the_answers(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start("short", ["true"], tmp_path / "log")
    supervisor.start("long", SLEEP, tmp_path / "log")
    supervisor.wait("short", 10)
    supervisor._requests.write(b'{"id": -1, "op": "poll", "name": "short"}\n')  # Ctrl-C came before its answer was read
    assert supervisor.poll("long") is None


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path, supervisor: Supervisor) -> None:
    with pytest.raises(LocalServerError, match=r"server cannot be run: /no/such: FileNotFoundError"):
        supervisor.start("server", ["/no/such"], tmp_path / "log")


def test_a_command_that_fails_shows_the_end_of_its_output(tmp_path: Path, supervisor: Supervisor) -> None:
    argv = ["sh", "-c", "for i in $(seq 100); do echo line $i; done; echo no space left; exit 3"]
    with pytest.raises(LocalServerError) as caught:
        supervisor.run("preparing", argv, tmp_path / "log")
    assert "preparing failed with exit code 3" in str(caught.value)
    assert "no space left" in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
    assert "line 50" not in str(caught.value)


def test_a_server_that_dies_while_starting_is_not_waited_for(tmp_path: Path, supervisor: Supervisor) -> None:
    def never() -> None:
        raise NotReady("no answer")

    supervisor.start("server", ["sh", "-c", "echo bad option; kill -9 $$"], tmp_path / "log")
    with pytest.raises(LocalServerError, match=r"(?s)ended by SIGKILL while it was starting.*bad option"):
        supervisor.await_ready("server", tmp_path / "log", never, timeout=60)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, supervisor: Supervisor) -> None:
    def never() -> None:
        raise NotReady("connection refused")

    supervisor.start("server", SLEEP, tmp_path / "log")
    with pytest.raises(LocalServerError, match=r"did not answer within 0 s: connection refused"):
        supervisor.await_ready("server", tmp_path / "log", never, timeout=0.05)


PARENT = """
import multiprocessing, os, sys, time
from pathlib import Path
from jobstatus_local.process import Supervisor

folder = Path(sys.argv[1])
supervisor = Supervisor([folder / "data"])
pid = supervisor.start("server", sys.argv[3:], folder / "log")
child = 0
if sys.argv[2] == "fork":
    child = os.fork()  # holds our end of the supervisor's pipe open
    if not child:
        time.sleep(60)
print(supervisor.pid, pid, child, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("way", ["plain", "fork"])
def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path, way: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    argv = [sys.executable, "-c", PARENT, str(tmp_path), way, *SLEEP]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        supervisor, server, child = map(int, parent.stdout.readline().split())
        try:
            assert is_running(server)
            parent.kill()
            wait_until_gone([server, supervisor])
            assert not (tmp_path / "data").exists()
            assert child == 0 or is_running(child)
        finally:
            if child:
                os.kill(child, signal.SIGKILL)


def test_a_deaf_server_of_a_killed_parent_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PARENT, str(tmp_path), "plain", *DEAF]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        supervisor, server, _ = map(int, parent.stdout.readline().split())
        wait_for_output(tmp_path / "log", "deaf")
        parent.kill()
        wait_until_gone([server, supervisor])


FORKING_PARENT = """
import os, sys
from jobstatus_local.errors import LocalServerError
from jobstatus_local.process import Supervisor

supervisor = Supervisor()
supervisor.start("server", ["sleep", "1000"], sys.argv[1])
if not os.fork():
    supervisor.close()
    try:
        supervisor.signal("server", 9)
    except LocalServerError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
print(supervisor.poll("server"))
supervisor.close()
"""


def test_a_fork_of_the_parent_cannot_stop_the_servers(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FORKING_PARENT, str(tmp_path / "log")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert said == [
        "a local server belongs to the process that started it, not to a fork of it",
        "None",
    ]
