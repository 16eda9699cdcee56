"""Verify and repair of jobs whose events are in two partitions, because the topic's number of them was raised."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions
from jobstatus_local.kafka import LocalKafka
from jobstatus_schemas import JobStatusEvent, encode
from support.deployment import Deployment, deployment
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

NOW = int(time.time() * 1e6) - 60_000_000


@pytest.fixture
def single(kafka: LocalKafka, database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose topic has one partition."""
    with deployment(kafka.bootstrap_servers, database_url, tmp_path, partitions=1) as found:
        yield found


def verify(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "verify", *arguments, "--json", code=code).stdout)
    return found


def put(deployed: Deployment, partition: int, job_id: str, status: str, attempt: int | None, second: int) -> None:
    event = JobStatusEvent(str(uuid.uuid4()), job_id, status, None, attempt, None, NOW + second * 1_000_000)
    producer = Producer({"bootstrap.servers": deployed.bootstrap})
    producer.produce(deployed.topic, key=job_id, value=encode(event), partition=partition)
    assert producer.flush(60) == 0


def raise_partitions(deployed: Deployment, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": deployed.bootstrap})
    admin.create_partitions([NewPartitions(deployed.topic, count)])[deployed.topic].result(30)
    until(lambda: len(admin.list_topics(deployed.topic, 20).topics[deployed.topic].partitions) == count, "partitions")
    deployed.partitions = count


def in_two_partitions(deployed: Deployment) -> None:
    put(deployed, 0, "a", "processing", 3, 1)
    put(deployed, 0, "b", "processing", 1, 9)
    deployed.drain()
    raise_partitions(deployed, 2)
    put(deployed, 1, "a", "success", None, 5)
    put(deployed, 1, "b", "success", 2, 4)
    deployed.drain()
    rows = deployed.rows()
    assert [(rows[job].status, rows[job].attempt) for job in ("a", "b")] == [("success", 3), ("success", 2)]


def test_rows_of_two_partitions_are_right_and_repair_sets_none_back(single: Deployment) -> None:
    in_two_partitions(single)
    right = single.rows()
    for arguments in ((), ("--strict",), ("--strict", "--repair")):
        found = verify(single, *arguments)
        assert (found["findings"], found["explained"]) == ([], {})
    for change in ("status = 'bogus'", "latest_occurred_at = NULL", "status = 'bogus', latest_occurred_at = 'epoch'"):
        for job_id in right:
            single.query(f"UPDATE jobs SET {change} WHERE job_id = '{job_id}'")
            assert single.rows() != right
            found = verify(single, "--repair")
            assert ([item["job_id"] for item in found["findings"]], found["not_mended"]) == ([job_id], [])
            assert single.rows() == right
