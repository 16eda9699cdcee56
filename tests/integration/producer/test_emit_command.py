"""`jobstatus emit`: one event by flags, many from standard input, and what cannot be sent."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from integration.producer.commands import COMMAND, jobstatus
from integration.producer.conftest import Environ
from integration.producer.reading import events_of, read_all, statuses_by_job
from integration.producer.scripts import NOBODY
from jobstatus_local.kafka import LocalKafka
from support.fixture_types import MakeTopic
from support.forked import Command


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
    wanted = {"PATH": "/usr/bin:/bin", "TERM": "xterm", **environ(topic)}
    with Command[str]([*COMMAND, "emit"], env=wanted, stdin=subprocess.PIPE, stderr=terminal, text=True) as process:
        process.communicate(lines, timeout=60)
    os.close(terminal)
    shown = os.read(reader, 100_000).decode()
    os.close(reader)
    assert process.returncode == 0
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
    with Command[bytes](
        [*COMMAND, "emit", "--format", format_of],
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, err = process.communicate(given, timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize(
    "pair", ["sasl.password:hunter2", "sasl.password hunter2", "sasl.password:hunter2==", "=hunter2"]
)
@pytest.mark.parametrize("command", [["emit", "--job-id", "a", "--status", "ok"], ["check"]])
def test_a_mistyped_property_shows_no_more_than_its_name(command: list[str], pair: str) -> None:
    seen = jobstatus(NOBODY, *command, "--kafka", pair)
    assert seen.returncode == 2
    assert f"--kafka {pair[: pair.index('hunter2') - 1]}: wanted NAME=VALUE" in seen.stderr
    assert "hunter2" not in seen.stderr
