"""`jobstatus emit`, `run` and `spool`, as a shell sees them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import events_of, read_all, statuses_by_job
from integration.producer.scripts import NOBODY
from jobstatus_local.kafka import LocalKafka
from support.spools import entry, leave_behind

COMMAND = [str(Path(sys.executable).parent / "jobstatus")]
Seen = subprocess.CompletedProcess[str]
Jobstatus = Callable[..., Seen]


def jobstatus(environ: dict[str, str], *arguments: str, given: str = "") -> Seen:
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ}
    return subprocess.run([*COMMAND, *arguments], env=environ, input=given, capture_output=True, text=True, timeout=60)


def test_one_event_by_flags(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    flags = ["--job-id", "job-17", "--status", "error", "--error-message", "größe", "--attempt", "3"]
    seen = jobstatus(environ(topic), "emit", *flags, "--worker-id", "shell", "--wait")
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "", "")
    (event,) = events_of(read_all(kafka.bootstrap_servers, topic))
    assert event[1:6] == ("job-17", "error", "größe", 3, "shell")


def test_json_lines_from_standard_input(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    lines = [{"job_id": n % 7, "status": str(n), "attempt": n} for n in range(1000)]
    seen = jobstatus(environ(topic), "emit", given="\n".join(map(json.dumps, lines)) + "\n\n")
    assert (seen.returncode, seen.stderr) == (0, "")
    arrived = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    assert arrived == {str(job): [str(n) for n in range(1000) if n % 7 == job] for job in range(7)}


def test_on_a_terminal_the_events_are_counted(topic: str, environ: Environ) -> None:
    reader, terminal = pty.openpty()
    lines = "".join(json.dumps({"job_id": n, "status": "ok"}) + "\n" for n in range(1234))
    seen = subprocess.run(
        [*COMMAND, "emit"],
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm", **environ(topic)},
        input=lines,
        stderr=terminal,
        text=True,
        timeout=60,
    )
    os.close(terminal)
    shown = os.read(reader, 100_000).decode()
    os.close(reader)
    assert seen.returncode == 0
    assert "1,234 events" in shown


def test_csv_from_standard_input(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    given = 'job_id,status,attempt,error_message\na,ok,1,\nb,error,,"two\nlines"\nc,ok,x,\nd\n'
    seen = jobstatus(environ(topic), "emit", "--format", "csv", given=given)
    assert seen.returncode == 1
    assert seen.stderr.splitlines() == [
        "line 5: attempt: wanted 0 to 2147483647, in digits alone, or nothing",
        "line 6: not as many fields as the first line names",
        "jobstatus: 2 of the input's events were not sent: see above",
    ]
    events = events_of(read_all(kafka.bootstrap_servers, topic))
    assert {event[1:5] for event in events} == {("a", "ok", None, 1), ("b", "error", "two\nlines", None)}


def test_a_bad_line_is_named_and_stops_no_other(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    given = '{"job_id": "a", "status": "ok"}\nnonsense\n[1]\n{"job_id": "b"}\n{"job_id": "\\u0000", "status": "x"}\n'
    seen = jobstatus(environ(topic), "emit", given=given + '{"job_id": "z", "status": "ok"}\n')
    assert seen.returncode == 1
    assert [line.split(":")[0] for line in seen.stderr.splitlines()] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
        "jobstatus",
    ]
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"a": ["ok"], "z": ["ok"]}


@pytest.mark.parametrize(
    ("arguments", "given", "text"),
    [
        (["--job-id", "a"], "", "--job-id and --status go together"),
        (["--attempt", "1"], "", "--error-message and --attempt need --job-id"),
        (["--job-id", "", "--status", "ok"], "", "job_id: empty"),
        (["--job-id", "a", "--status", "s" * 65], "", "status: 65 bytes"),
        (["--job-id", "a", "--status", "x", "--attempt", "-1"], "", "-1 is not in the range"),
        (["--kafka", "acks"], "", "wanted NAME=VALUE"),
        (["--kafka", "acks=0", "--job-id", "a", "--status", "x"], "", "JOBSTATUS_KAFKA_ACKS: '0' contradicts"),
        (["--format", "csv"], "job,state\n1,2\n", "must name job_id, status"),
        (["--format", "csv"], "job_id,status,job_id\n1,2,3\n", "names job_id more than once"),
        (["--topic", "bad/topic", "--job-id", "a", "--status", "x"], "", "JOBSTATUS_TOPIC: wanted 1 to 249 letters"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], given: str, text: str) -> None:
    seen = jobstatus(NOBODY, "emit", *arguments, given=given)
    assert (seen.returncode, "Traceback" in seen.stderr) == (2, False)
    assert text in seen.stderr


def test_what_is_not_delivered_is_1_unless_the_spool_has_it(tmp_path: Path) -> None:
    flags = ["--job-id", "a", "--status", "ok", "--timeout", "0.3"]
    seen = jobstatus(NOBODY, "emit", *flags)
    assert seen.returncode == 1
    assert "jobstatus: not delivered before the producer was closed (" in seen.stderr
    assert "): 1 event ('a' ok)" in seen.stderr
    spooled = jobstatus(NOBODY, "emit", *flags, "--spool-dir", str(tmp_path))
    assert spooled.returncode == 0
    assert "1 events are in the spool" in spooled.stderr
    waited = jobstatus(NOBODY, "emit", *flags, "--spool-dir", str(tmp_path), "--wait")
    assert waited.returncode == 1
    assert "2 events are not acknowledged after 0.3 s; they are in the spool" in waited.stderr


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


def test_spool_list_and_drain(kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path) -> None:
    environment = environ(topic, SPOOL_DIR=tmp_path)
    left = leave_behind(tmp_path, [entry(seq, "job") for seq in range(1, 4)], topic)
    (tmp_path / "x.1.damaged").write_bytes(b"x")
    listed = jobstatus(environment, "spool", "list")
    assert listed.returncode == 0
    assert f"{left.name}  no process  3 events" in listed.stdout
    assert "x.1.damaged  damaged" in listed.stdout
    document = json.loads(jobstatus(environment, "spool", "list", "--json").stdout)
    assert [(spool["events"], spool["in_use"]) for spool in document["spools"]] == [(3, False)]
    drained = jobstatus(environment, "spool", "drain")
    assert (drained.returncode, drained.stdout) == (0, "3 events delivered, 0 refused, 0 left\n")
    assert [record.event.occurred_at for record in read_all(kafka.bootstrap_servers, topic)] == [1, 2, 3]
    assert json.loads(jobstatus(environment, "spool", "list", "--json").stdout)["spools"] == []


def test_spool_drain_says_what_is_left(tmp_path: Path) -> None:
    leave_behind(tmp_path, [entry(1)])
    seen = jobstatus(NOBODY, "spool", "drain", "--timeout", "0.3", "--spool-dir", str(tmp_path))
    assert (seen.returncode, seen.stdout) == (1, "0 events delivered, 0 refused, 1 left\n")
    assert json.loads(jobstatus({"JOBSTATUS_SPOOL_DIR": str(tmp_path)}, "spool", "list", "--json").stdout)["spools"]


def test_spool_list_shows_refused_events(tmp_path: Path) -> None:
    from support.spools import open_again

    path = leave_behind(tmp_path, [entry(1, "big")])
    again = open_again(path)
    again.refuse(entry(1, "big"), "MSG_SIZE_TOO_LARGE")
    again.close()
    (line,) = jobstatus({}, "spool", "list", "--spool-dir", str(tmp_path), "--refused").stdout.splitlines()
    shown = json.loads(line)
    assert (shown["reason"], shown["job_id"], shown["occurred_at"]) == ("MSG_SIZE_TOO_LARGE", "big", 1)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["list"], 2, "which folder?"),
        (["list", "--spool-dir", "/no/such/folder"], 2, "/no/such/folder is no folder"),
        (["drain"], 2, "which folder?"),
    ],
)
def test_spool_without_a_folder_is_wrong_usage(arguments: list[str], code: int, text: str) -> None:
    seen = jobstatus(NOBODY, "spool", *arguments)
    assert (seen.returncode, text in seen.stderr) == (code, True)
