"""What happens to a spool between two steps of its owner: a SIGKILL, on the real broker."""

from __future__ import annotations

import signal
from pathlib import Path

from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import Record, read_all
from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer import JobStatusProducer
from jobstatus_schemas.protocol import LATE_HEADER

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
    assert shown(records) == ["processing", "success"]


def shown(records: list[Record]) -> list[str]:
    """The statuses that the row shows, one after the other."""
    state: RowState | None = None
    found = []
    for record in records:
        event = as_the_consumer_sees(record)
        if decide(state, event) == "applied":
            found.append(event.status)
        state = advance(state, event)
    return found


def as_the_consumer_sees(record: Record) -> Event:
    event, late = record.event, LATE_HEADER in record.headers
    raw = RawRecord("t", record.partition, record.offset, -1, record.key, None, [], "t/id/0")
    return Event(event, event.occurred_at, late, raw.log_id, record.offset, raw)
