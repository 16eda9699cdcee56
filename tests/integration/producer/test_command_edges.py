"""What `jobstatus emit`, `run` and `spool` do at the edges: a refusal, no broker, an odd input, an odd command."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import events_of, read_all, statuses_by_job
from integration.producer.scripts import NOBODY
from integration.producer.test_commands import COMMAND, jobstatus
from jobstatus_local.kafka import LocalKafka
from support.fixture_types import MakeTopic
from support.spools import entry, leave_behind

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


@pytest.mark.parametrize("spool", [False, True], ids=["in memory", "full spool"])
def test_emit_gives_up_where_nothing_is_delivered_for_as_long_as_its_timeout(tmp_path: Path, spool: bool) -> None:
    environment = NOBODY | {"JOBSTATUS_MAX_PENDING_EVENTS": "5"}
    if spool:
        environment |= {"JOBSTATUS_SPOOL_DIR": str(tmp_path), "JOBSTATUS_SPOOL_MAX_BYTES": "1"}
    lines = "".join(json.dumps({"job_id": n, "status": "ok"}) + "\n" for n in range(20))
    seen = jobstatus(environment, "emit", "--timeout", "0.5", given=lines)
    assert (seen.returncode, "Traceback" in seen.stderr) == (1, False)
    text = "line 6 and all that follow were not sent: for 0.5 s nothing was delivered, and 5 events before it are not"
    assert text in seen.stderr
    if not spool:
        assert "): 5 events ('0' ok" in seen.stderr


def test_a_full_buffer_slows_emit_down_and_loses_no_line(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    lines = "".join(json.dumps({"job_id": "a", "status": str(n)}) + "\n" for n in range(200))
    seen = jobstatus(environ(topic, MAX_PENDING_EVENTS=3), "emit", given=lines)
    assert (seen.returncode, seen.stderr) == (0, "")
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"a": [str(n) for n in range(200)]}


GOOD = {"a": ["ok"], "z": ["ok"]}
BAD_CSV = [
    ('b,"ok,\nz,ok,\n', 4, "not CSV after line 2 (unexpected end of data)", {"a": ["ok"]}),
    ('b,"o"k,\nz,ok,\n', 3, "not CSV after line 2 (", GOOD),
    (f"b,{'x' * (2**24 + 1)},\nz,ok,\n", 3, "not CSV after line 2 (field larger than field limit (16777216))", GOOD),
    (f"b,ok,{'9' * 5000}\nz,ok,\n", 3, "attempt: 5000 characters; wanted 0 to 2147483647", GOOD),
    ("b,ok,99999999999\nz,ok,\n", 3, "attempt: wanted 0 to 2147483647", GOOD),
    ("b,ok,-1\nz,ok,\n", 3, "attempt: wanted 0 to 2147483647, in digits alone, or nothing", GOOD),
    ("b,ok,1.0\nz,ok,\n", 3, "attempt: wanted 0 to 2147483647, in digits alone, or nothing", GOOD),
    ("b,ok, 1\nz,ok,\n", 3, "attempt: wanted 0 to 2147483647, in digits alone, or nothing", GOOD),
]


@pytest.mark.parametrize(("rest", "line", "complaint", "sent"), BAD_CSV, ids=range(len(BAD_CSV)))
def test_a_bad_line_of_csv_is_a_complaint(
    kafka: LocalKafka, topic: str, environ: Environ, rest: str, line: int, complaint: str, sent: dict[str, list[str]]
) -> None:
    given = "job_id,status,attempt\na,ok,\n" + rest
    seen = jobstatus(environ(topic), "emit", "--format", "csv", given=given)
    assert (seen.returncode, "Traceback" in seen.stderr) == (1, False)
    assert f"line {line}: {complaint}" in seen.stderr
    assert "jobstatus: 1 of the input's events were not sent: see above" in seen.stderr
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == sent


def test_a_header_that_is_no_csv_is_wrong_usage() -> None:
    seen = jobstatus(NOBODY, "emit", "--format", "csv", given='job_id,"status\n')
    assert (seen.returncode, "Traceback" in seen.stderr) == (2, False)
    assert "the first line of the CSV cannot be read: unexpected end of data" in seen.stderr


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"job_id": ' + "[" * 100_000 + "]" * 100_000 + ', "status": "ok"}', "nested too deeply"),
        ('{"job_id": "b", "status": "ok", "attempt": ' + "9" * 5000 + "}", "a number is too long"),
        ('{"job_id": "b\udcff", "status": "ok"}', "job_id: holds a lone surrogate"),
    ],
    ids=["deep", "long", "no text"],
)
def test_a_bad_line_of_json_is_a_complaint(
    kafka: LocalKafka, topic: str, environ: Environ, line: str, complaint: str
) -> None:
    given = f'{{"job_id": "a", "status": "ok"}}\n{line}\n{{"job_id": "z", "status": "ok"}}\n'
    seen = emit_bytes(environ(topic), "jsonl", given.encode(errors="surrogateescape"))
    assert seen.returncode == 1
    assert seen.stderr.decode().startswith(f"line 2: {complaint}")
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == GOOD


@pytest.mark.parametrize(
    ("format_of", "given"),
    [
        ("csv", "job_id,status,error_message\na,ok,{long}\nz,ok,größe\n"),
        ("jsonl", '{{"job_id": "a", "status": "ok"}}\n{{"job_id": "z", "status": "ok"}}\n'),
    ],
)
def test_what_a_spreadsheet_wrote_is_read(
    kafka: LocalKafka, topic: str, environ: Environ, format_of: str, given: str
) -> None:
    # with its mark before the text, and a field of more than the 131,072 characters of the csv module
    seen = emit_bytes(environ(topic), format_of, given.format(long="x" * 200_000).encode("utf-8-sig"))
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == GOOD


def test_a_line_break_within_a_field_of_csv_stays_as_it_is(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    given = b'job_id,status,error_message\r\na,error,"one\r\ntwo\nthree\rfour"\r\nz,ok,\r\n'
    seen = emit_bytes(environ(topic), "csv", given)
    assert (seen.returncode, seen.stderr) == (0, b"")
    events = events_of(read_all(kafka.bootstrap_servers, topic))
    assert {event[1:4] for event in events} == {("a", "error", "one\r\ntwo\nthree\rfour"), ("z", "ok", None)}


def emit_bytes(environment: dict[str, str], format_of: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, "emit", "--format", format_of],
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment},
        input=given,
        capture_output=True,
        timeout=60,
    )


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
        answered, _, _ = select.select([process.stdout], [], [], 30)
        assert answered, "a signal was not passed on"
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
    while process.poll() is None:
        # one that comes before the report is the command's, which does not care
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    code, _, said = scripts.end(process)
    assert code == 7, said
    assert "jobstatus: not delivered before the producer was closed (" in said
    assert "): 2 events" in said
    assert "Traceback" not in said


def test_run_learns_the_exit_code_where_a_supervisor_ignores_its_children(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    run = [*COMMAND, "run", "--job-id", "x", "--", "sh", "-c", "exit 7"]
    process = scripts.launch([sys.executable, "-c", IGNORING.format(name="SIGCHLD"), *run], environ(topic))
    assert scripts.end(process)[0] == 7
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"x": ["processing", "error"]}


def newer(spool: Path) -> Path:
    """As a version that is not out yet would leave it."""
    with closing(sqlite3.connect(spool)) as database:
        database.execute("pragma user_version=2")
    return spool


def test_spool_drain_names_what_it_leaves_alone(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    leave_behind(tmp_path, [entry(1, "job")], topic)
    unread = newer(leave_behind(tmp_path, [entry(2)], topic))
    other = leave_behind(tmp_path, [entry(3), entry(4)], "another")
    seen = jobstatus(environ(topic, SPOOL_DIR=tmp_path), "spool", "drain")
    assert seen.returncode == 1
    first, second, third = seen.stdout.splitlines()
    assert first == "1 events delivered, 0 refused, 0 left"
    assert second.startswith(f"left alone, of this topic: {unread.name}  no process  cannot be read: {unread}: written")
    assert third.startswith(f"left alone, of another topic: {other.name}  no process  2 events")
    assert seen.stderr.splitlines()[-1] == "jobstatus: 1 spools of this topic were left alone"
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": ["ok"]}


def test_spool_drain_is_0_where_only_another_topics_spool_is_left(topic: str, environ: Environ, tmp_path: Path) -> None:
    other = leave_behind(tmp_path, [entry(3)], f"{topic}.more")
    seen = jobstatus(environ(topic, SPOOL_DIR=tmp_path), "spool", "drain")
    assert (seen.returncode, seen.stderr) == (0, "")
    first, second = seen.stdout.splitlines()
    assert first == "0 events delivered, 0 refused, 0 left"
    assert second.startswith(f"left alone, of another topic: {other.name}  no process  1 events")


def test_spool_drain_counts_what_it_could_not_deliver_once(tmp_path: Path) -> None:
    leave_behind(tmp_path, [entry(1)])
    seen = jobstatus(NOBODY, "spool", "drain", "--timeout", "0.3", "--spool-dir", str(tmp_path))
    assert (seen.returncode, seen.stdout) == (1, "0 events delivered, 0 refused, 1 left\n")
    assert "1 events are left, 0 were refused" in seen.stderr
    assert "left alone" not in seen.stderr


@pytest.mark.parametrize(
    "pair", ["sasl.password:hunter2", "sasl.password hunter2", "sasl.password:hunter2==", "=hunter2"]
)
@pytest.mark.parametrize("command", [["emit", "--job-id", "a", "--status", "ok"], ["check"]])
def test_a_mistyped_property_shows_no_more_than_its_name(command: list[str], pair: str) -> None:
    seen = jobstatus(NOBODY, *command, "--kafka", pair)
    assert seen.returncode == 2
    assert f"--kafka {pair[: pair.index('hunter2') - 1]}: wanted NAME=VALUE" in seen.stderr
    assert "hunter2" not in seen.stderr
