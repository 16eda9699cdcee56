"""The example clients in other languages, on a real broker: their events become rows, and they read ours.

`make clients` runs them all. A usual run has those that are built in a few seconds, where their tools are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from integration.producer.test_java_partitions import job_ids
from jobstatus_schemas import JobStatusEvent, encode
from support.clients import Client, as_line, go, java, node, of_line, rust
from support.deployment import Deployment, made_events
from support.murmur2 import partition_of

CLIENTS = [java, node, pytest.param(go, marks=pytest.mark.long), pytest.param(rust, marks=pytest.mark.long)]
TIME = 1_700_000_000_000_000


@pytest.fixture(scope="module", params=CLIENTS, ids=lambda make: make.__name__)
def client(request: pytest.FixtureRequest) -> Client:
    """A client that is built. Its test is skipped where its tools are missing, but never in CI and with `--long`."""
    make: Callable[[], Client] = request.param
    found = make()
    missing = found.missing_tool()
    if missing is not None and "CI" not in os.environ and not request.config.getoption("--long"):
        pytest.skip(f"{missing} is not on this machine")
    found.built()
    return found


def send(client: Client, deployed: Deployment, events: list[JobStatusEvent], **environ: str) -> None:
    client.run(["send"], map(as_line, events), **addresses(deployed), **environ)


def addresses(deployed: Deployment) -> dict[str, str]:
    return {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": deployed.bootstrap, "JOBSTATUS_TOPIC": deployed.topic}


def test_ten_thousand_jobs_of_a_client_are_where_ours_would_be_and_become_rows(
    client: Client, deployed: Deployment
) -> None:
    """In a transaction, compressed: the marker behind it is an offset without a record."""
    events = [
        JobStatusEvent(f"00000000-0000-4000-8000-{number:012d}", job_id, "ok", None, None, None, TIME)
        for number, job_id in enumerate(job_ids())
    ]
    send(client, deployed, events, COMPRESSION=client.compressions[-1], TRANSACTIONAL_ID=deployed.topic)
    chosen = {record.key: record.partition for record in deployed.records()}
    assert chosen == {key: partition_of(key or b"", deployed.partitions) for key in chosen}
    assert deployed.drain()["dead_letters"] == 0
    deployed.assert_exact()
    assert len(deployed.rows()) == len(events)


def test_a_client_reads_what_ours_has_written(client: Client, deployed: Deployment) -> None:
    events = made_events(60, 7)
    deployed.produce((item.job_id, encode(item), ()) for item in events)
    found = client.run(["read", str(len(events))], **addresses(deployed))
    assert sorted(map(of_line, found)) == sorted(events)


@pytest.mark.long
def test_every_compression_of_a_client_is_read(client: Client, deployed: Deployment) -> None:
    for number, compression in enumerate(client.compressions):
        send(client, deployed, made_events(40, 9, prefix=compression, seed=number), COMPRESSION=compression)
    assert deployed.drain()["dead_letters"] == 0
    deployed.assert_exact()
    assert {job.split("-")[0] for job in deployed.rows()} == set(client.compressions)
