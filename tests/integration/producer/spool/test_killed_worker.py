"""A worker is killed between the acknowledgement of its events and their deletion from its spool."""

from __future__ import annotations

import signal
from pathlib import Path

from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, shown_by_a_row
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer import JobStatusProducer

KILLED = """
from jobstatus_producer.spool.file import SpoolFile
SpoolFile.remove = lambda _file, _entries: os.kill(os.getpid(), signal.SIGKILL)
jobs = JobStatusProducer.from_env()
jobs.update_many([("job", "processing"), ("job", "success")])
time.sleep(60)
"""


def test_copies_of_what_a_killed_worker_had_delivered_leave_the_row_as_it_is(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    variables = environ(topic, SPOOL_DIR=tmp_path, DURABLE="true")
    assert scripts.run(KILLED, variables)[0] == -signal.SIGKILL
    with JobStatusProducer.from_env(variables) as jobs:
        assert jobs.flush(30) == 0
    records = read_all(kafka.bootstrap_servers, topic)
    assert [record.event.status for record in records] == ["processing", "success"] * 2
    assert [record.event.event_id for record in records[:2]] == [record.event.event_id for record in records[2:]]
    assert [event.status for event in shown_by_a_row(records)] == ["processing", "success"]
