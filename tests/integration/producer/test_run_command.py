"""`jobstatus run`: a command's exit code, streams and signals, and the statuses that are reported for it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from integration.producer import scripts
from integration.producer.commands import COMMAND, jobstatus
from integration.producer.conftest import Environ
from integration.producer.reading import events_of, read_all, statuses_by_job
from integration.producer.scripts import NOBODY
from jobstatus_consumer.cli.commands import main
from jobstatus_local.kafka import LocalKafka
from support.waiting import readable


@pytest.mark.parametrize(
    ("command", "code", "reported"),
    [
        (["true"], 0, ("success", None)),
        (["sh", "-c", "exit 3"], 3, ("error", "exit code 3")),
        (["sh", "-c", "kill -KILL $$"], 137, ("error", "ended by SIGKILL")),
        (["/no/such/command"], 127, ("error", "/no/such/command: not found")),
        (["/etc/passwd"], 126, ("error", "/etc/passwd: Permission denied")),
    ],
)
def test_run_reports_what_becomes_of_a_command(
    kafka: LocalKafka, topic: str, environ: Environ, command: list[str], code: int, reported: tuple[str, str | None]
) -> None:
    seen = jobstatus(environ(topic), "run", "--job-id", "nightly", "--attempt", "1", "--", *command)
    assert seen.returncode == code
    # what could not even be started has said nothing itself
    assert seen.stderr == (f"jobstatus: {reported[1]}\n" if code in (126, 127) else "")
    events = events_of(read_all(kafka.bootstrap_servers, topic))
    assert [event[1:5] for event in events] == [("nightly", "processing", None, 1), ("nightly", *reported, 1)]


def test_run_gives_the_command_its_flags_and_streams(topic: str, environ: Environ) -> None:
    seen = jobstatus(environ(topic), "run", "--job-id", "x", "--", "sh", "-c", "cat; echo err >&2", given="in")
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "in", "err\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_run_passes_signals_on(kafka: LocalKafka, topic: str, environ: Environ, number: signal.Signals) -> None:
    script = f"trap 'exit 9' {number.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.05; done"
    process = scripts.launch([*COMMAND, "run", "--job-id", "x", "--", "sh", "-c", script], environ(topic))
    assert scripts.read_line(process) == "ready"
    process.send_signal(number)
    assert scripts.end(process)[0] == 9
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"x": ["processing", "error"]}


def test_run_runs_the_command_whether_it_can_report_or_not() -> None:
    environ = NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.3"}
    seen = jobstatus(environ, "run", "--job-id", "x", "--", "sh", "-c", "echo done; exit 4")
    assert (seen.returncode, seen.stdout) == (4, "done\n")
    assert "jobstatus: not delivered before the producer was closed (" in seen.stderr
    assert "): 2 events" in seen.stderr


@pytest.fixture
def handlers_restored() -> Iterator[None]:
    """The handlers of signals are as before at the end: `run` is made for a process that ends with it."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.mark.usefixtures("handlers_restored")
def test_run_waits_only_shortly_for_a_broker_that_was_never_reached() -> None:
    """In this process, whose start takes no time: the producer's own bound is 10 s."""
    began = time.monotonic()
    seen = CliRunner().invoke(main, ["run", "--job-id", "x", "--", "true"], env=NOBODY)
    assert time.monotonic() - began < 8
    assert seen.exit_code == 0
    assert "): 2 events ('x' processing, 'x' success)" in seen.stderr


def test_run_names_a_signal_that_has_no_name(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    seen = jobstatus(environ(topic), "run", "--job-id", "x", "--", "sh", "-c", "kill -40 $$")
    assert (seen.returncode, seen.stderr) == (168, "")
    begun, ended = events_of(read_all(kafka.bootstrap_servers, topic))
    assert begun[2] == "processing"
    assert ended[2:4] == ("error", "ended by signal 40")


WORDS = {"JOBSTATUS_STATUSES": "processing,done,failed"}


def test_run_refuses_words_that_are_not_allowed_before_the_command_starts() -> None:
    seen = jobstatus(NOBODY | WORDS, "run", "--job-id", "x", "--", "sh", "-c", "echo ran; exit 3")
    assert (seen.returncode, seen.stdout) == (2, "")
    assert "done='success', failed='error': status: not one of the allowed words (done, failed, proc" in seen.stderr


@pytest.mark.parametrize(("code", "reported"), [(0, "done"), (3, "failed")])
def test_run_reports_in_the_applications_own_words(
    kafka: LocalKafka, topic: str, environ: Environ, code: int, reported: str
) -> None:
    flags = ["--job-id", "x", "--done", "done", "--failed", "failed"]
    seen = jobstatus(environ(topic) | WORDS, "run", *flags, "--", "sh", "-c", f"exit {code}")
    assert (seen.returncode, seen.stderr) == (code, "")
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"x": ["processing", reported]}


@pytest.mark.parametrize(
    ("flags", "text"), [(["--job-id", ""], "job_id: empty"), (["--job-id", "x", "--attempt", "9" * 11], "attempt: ")]
)
def test_run_refuses_what_no_report_may_hold_before_the_command_starts(flags: list[str], text: str) -> None:
    seen = jobstatus(NOBODY, "run", *flags, "--", "echo", "ran")
    assert (seen.returncode, seen.stdout) == (2, "")
    assert text in seen.stderr


@pytest.mark.parametrize("durable", ["true", "false"])
def test_run_runs_the_command_where_the_spool_folder_cannot_be_used(
    kafka: LocalKafka, topic: str, environ: Environ, durable: str
) -> None:
    environment = environ(topic, SPOOL_DIR="/dev/null/spool", DURABLE=durable)
    seen = jobstatus(environment, "run", "--job-id", "x", "--", "sh", "-c", "echo ran; exit 4")
    assert (seen.returncode, seen.stdout) == (4, "ran\n")
    assert "/dev/null/spool cannot be used: Not a directory; going on without a spool" in seen.stderr
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"x": ["processing", "error"]}


# the first one that a session opens is its own
ON_TERMINAL = "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.execv(sys.argv[2], sys.argv[2:])"


COUNTER = """
import os, signal, sys, time
interrupts = []
def interrupted(*_):
    interrupts.append(1)
    os.write(1, b"interrupted\\n")
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(len(interrupts)))
signal.signal(signal.SIGUSR2, lambda *_: os.write(1, b"told\\n"))
os.write(1, b"ready\\n")
while True:
    time.sleep(0.05)
"""


RUN_COUNTER = [*COMMAND, "run", "--job-id", "x", "--", sys.executable, "-c", COUNTER]


def test_an_interrupt_from_the_terminal_reaches_the_command_once(topic: str, environ: Environ) -> None:
    keyboard, terminal = pty.openpty()
    on_terminal = [sys.executable, "-c", ON_TERMINAL, os.ttyname(terminal), *RUN_COUNTER]
    process = scripts.launch(on_terminal, environ(topic))
    assert scripts.read_line(process) == "ready"
    # a signal that was passed on says that from now on all of them are
    process.send_signal(signal.SIGUSR2)
    assert scripts.read_line(process) == "told"
    os.write(keyboard, b"\x03")
    assert scripts.read_line(process) == "interrupted"
    # whatever was made of the interrupt is passed on before this one, which asks the command for its count
    process.send_signal(signal.SIGUSR1)
    assert scripts.end(process)[0] == 1
    os.close(terminal)
    os.close(keyboard)


def test_run_passes_each_signal_on_without_waiting_for_the_next(topic: str, environ: Environ) -> None:
    process = scripts.launch(RUN_COUNTER, environ(topic))
    # as close together as they get: the command's answer goes out while the signal before is still being handled
    os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    assert scripts.read_line(process) == "ready"
    assert process.stdout is not None
    for _ in range(5_000):
        process.send_signal(signal.SIGUSR2)
        assert readable(process.stdout, 30), "a signal was not passed on"
        assert scripts.read_line(process) == "told"
    process.send_signal(signal.SIGUSR1)
    assert scripts.end(process)[0] == 0


IGNORING = "import os, sys, signal as s; s.signal(s.{name}, s.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_run_leaves_ignored_what_is_ignored(topic: str, environ: Environ, number: signal.Signals) -> None:
    """As `nohup` does it, and a shell for what is in the background."""
    script = f"echo ready; kill -{number.value} $$; read line; exit 5"
    run = [*COMMAND, "run", "--job-id", "x", "--", "sh", "-c", script]
    ignoring = [sys.executable, "-c", IGNORING.format(name=number.name), *run]
    process = scripts.launch(ignoring, environ(topic), stdin=subprocess.PIPE)
    assert scripts.read_line(process) == "ready"
    process.send_signal(number)
    assert scripts.end(process)[0] == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_run_reports_the_end_is_no_other_end(number: signal.Signals) -> None:
    command = ["sh", "-c", "trap '' TERM INT HUP; echo bye; exit 7"]
    environ = NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "50"}
    process = scripts.launch([*COMMAND, "run", "--job-id", "x", "--", *command], environ)
    assert scripts.read_line(process) == "bye"
    process.send_signal(number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        # it came before the end of the command, which does not care
        process.send_signal(number)
    code, _, said = scripts.end(process)
    assert code == 7, said
    assert "jobstatus: not delivered before the producer was closed (" in said
    assert "): 2 events" in said
    assert "Traceback" not in said


AT_THE_REPORT = """
import os, sys, jobstatus_consumer.cli.run as module
from jobstatus_consumer.cli.commands import main
report = module._report
def told(*what):
    if what[-2] == "error":
        os.kill(os.getpid(), {number})
    report(*what)
module._report = told
main(["run", "--job-id", "x", "--", "sh", "-c", "exit 7"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_just_before_the_last_report_leaves_the_report_and_the_exit_code(number: signal.Signals) -> None:
    environ = NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "2" if number == signal.SIGUSR1 else "500"}
    process = scripts.launch([sys.executable, "-c", AT_THE_REPORT.format(number=number.value)], environ)
    code, _, said = scripts.end(process)
    assert code == 7, said
    assert "): 2 events ('x' processing, 'x' error)" in said


def test_run_learns_the_exit_code_where_a_supervisor_ignores_its_children(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    run = [*COMMAND, "run", "--job-id", "x", "--", "sh", "-c", "exit 7"]
    process = scripts.launch([sys.executable, "-c", IGNORING.format(name="SIGCHLD"), *run], environ(topic))
    assert scripts.end(process)[0] == 7
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"x": ["processing", "error"]}
