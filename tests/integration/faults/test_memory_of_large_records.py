"""How much memory records take that are far larger than their topic's limit, in a consumer of its own process."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaError
from jobstatus_schemas import encode
from support.deployment import ConsumerProcess, Deployment, made_events
from support.foreign import produce_compressed, refused_when_compressed
from support.topics import alter_topic
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MIB: Final = 1024 * 1024
BASE: Final = 160 * MIB
"""More than a consumer has without large records."""
LARGE: Final = 64 * MIB
BOMBS: Final = 5
"""Three of them at a time are more than may be in memory."""


def memory(consumer: ConsumerProcess, name: str) -> int:
    """The resident memory of a process in bytes: `VmHWM` is the highest so far, `VmRSS` that of now."""
    status = Path(f"/proc/{consumer.process.pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_of_many_bombs_there_are_few_in_memory_at_a_time(deployed: Deployment) -> None:
    # over half of what one answer to a fetch may hold, and sixty times as much once it is expanded
    bomb = random.Random(1).randbytes(700_000) + bytes(LARGE - 700_000)
    produce_compressed(deployed.bootstrap, deployed.topic, [(f"bomb-{n}".encode(), bomb) for n in range(BOMBS)])
    deployed.produce_events(made_events(100, 10))
    consumer = deployed.consumer()
    deployed.caught_up(120)
    # once in the Kafka client, and once as a Python object
    assert memory(consumer, "VmHWM") < BASE + 2 * LARGE
    until(lambda: memory(consumer, "VmRSS") < BASE, "the last one is let go of")
    deployed.assert_exact()
    assert len(deployed.dead_letters()) == BOMBS


def test_records_with_large_headers_do_not_pile_up_behind_a_slow_database(deployed: Deployment) -> None:
    """The Kafka client limits what it has fetched by the bytes of the values alone."""
    # shorter than the wait after which a consumer pauses for a slow database in any case
    slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN new; END'"
    deployed.query(slow)
    deployed.query("CREATE TRIGGER slow BEFORE INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    headers = [("large", b"x" * 900_000)]
    events = made_events(160, 10)
    for start in range(0, len(events), 50):
        deployed.produce((item.job_id, encode(item), headers) for item in events[start : start + 50])
    consumer = deployed.consumer("--batch-max-events", "500")
    deployed.caught_up(120)
    assert memory(consumer, "VmHWM") < BASE
    deployed.assert_exact()


def test_a_topic_that_stores_no_compressed_records_refuses_a_bomb(deployed: Deployment) -> None:
    alter_topic(deployed.bootstrap, deployed.topic, "compression.type", "uncompressed")
    code = refused_when_compressed(deployed.bootstrap, deployed.topic, b"job-1", bytes(3 * MIB))
    assert code == KafkaError.MSG_SIZE_TOO_LARGE
    events = made_events(40, 10)
    produce_compressed(deployed.bootstrap, deployed.topic, [(item.job_id.encode(), encode(item)) for item in events])
    deployed.drain()
    deployed.assert_exact()
