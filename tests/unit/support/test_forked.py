"""A command in a fork is for a shell, and for who waits for it, what it is in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from support import forked

NOBODY = {
    "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "JOBSTATUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "JOBSTATUS_HTTP_ADDRESS": "off",
}


def in_a_shell(script: str, **variables: str) -> subprocess.Popen[str]:
    path = os.pathsep.join((forked.folder_of_programs(), "/usr/bin", "/bin"))
    return subprocess.Popen(
        ["/bin/sh", "-c", script], env={"PATH": path, **variables}, stdout=-1, stderr=-1, stdin=-1, text=True
    )


def test_a_shell_sees_its_output_and_its_exit_code() -> None:
    with in_a_shell("jobstatus --help | grep -c Usage; jobstatus consume; echo $?") as shell:
        out, err = shell.communicate(timeout=60)
    assert out == "1\n2\n"
    assert "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS is not set" in err


def test_a_shell_hands_its_input_on() -> None:
    with in_a_shell("jobstatus emit", **NOBODY) as shell:
        _, err = shell.communicate("no event\n", timeout=60)
    assert shell.returncode == 1
    assert "line 1" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, -signal.SIGHUP)])
def test_a_signal_of_a_shell_reaches_the_command_and_its_end_the_shell(number: signal.Signals, code: int) -> None:
    with in_a_shell("exec jobstatus consume", **NOBODY) as shell:
        assert shell.stderr is not None
        said = ""
        while "trying for" not in said:
            line = shell.stderr.readline()
            assert line, said
            said += line
        shell.send_signal(number)
        assert shell.wait(60) == code


@pytest.mark.parametrize("arguments", [["--help"], ["consume"], ["no such command"]])
def test_a_fork_ends_as_a_process_does(arguments: list[str]) -> None:
    environ = {"PATH": "/usr/bin:/bin", "COLUMNS": "80"}
    done = forked.run(arguments, environ)
    real = subprocess.run([forked.COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (real.returncode, real.stdout, real.stderr)
