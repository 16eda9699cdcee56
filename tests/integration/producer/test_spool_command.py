"""`jobstatus spool list` and `drain`: what waits in a spool folder."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from integration.producer.commands import jobstatus
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, statuses_by_job
from integration.producer.scripts import NOBODY
from jobstatus_local.kafka import LocalKafka
from support.spools import entry, leave_behind


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
    assert (shown["reason"], shown["job_id"], shown["occurred_at"]) == (
        "MSG_SIZE_TOO_LARGE",
        "big",
        "1970-01-01T00:00:00.000001Z",
    )


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
    assert first == "1 event delivered, 0 refused, 0 left"
    assert second.startswith(f"left alone, of this topic: {unread.name}  no process  cannot be read: {unread}: written")
    assert third.startswith(f"left alone, of another topic: {other.name}  no process  2 events")
    assert seen.stderr.splitlines()[-1] == "jobstatus: 1 spool of this topic left alone"
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": ["ok"]}


def test_spool_drain_is_0_where_only_another_topics_spool_is_left(topic: str, environ: Environ, tmp_path: Path) -> None:
    other = leave_behind(tmp_path, [entry(3)], f"{topic}.more")
    seen = jobstatus(environ(topic, SPOOL_DIR=tmp_path), "spool", "drain")
    assert (seen.returncode, seen.stderr) == (0, "")
    first, second = seen.stdout.splitlines()
    assert first == "0 events delivered, 0 refused, 0 left"
    assert second.startswith(f"left alone, of another topic: {other.name}  no process  1 event,")


def test_spool_drain_counts_what_it_could_not_deliver_once(tmp_path: Path) -> None:
    leave_behind(tmp_path, [entry(1)])
    seen = jobstatus(NOBODY, "spool", "drain", "--timeout", "0.3", "--spool-dir", str(tmp_path))
    assert (seen.returncode, seen.stdout) == (1, "0 events delivered, 0 refused, 1 left\n")
    assert "1 event is left, 0 were refused" in seen.stderr
    assert "left alone" not in seen.stderr
