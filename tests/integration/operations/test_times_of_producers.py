"""Topics that keep their producers' times, and times that no clock would give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_schemas import encode
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

NOW = 1_767_268_800_000
ANY_TIME = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(2**63 - 1),
}


@pytest.fixture
def trusting(deployed: Deployment) -> Deployment:
    """A deployment whose events' topic takes every time; that of the dead letters is as the command makes it."""
    found = replace(deployed, topic=f"{deployed.topic}-times", table="times", partitions=1)
    admin = AdminClient({"bootstrap.servers": deployed.bootstrap})
    topic = NewTopic(found.topic, num_partitions=1, replication_factor=1, config=ANY_TIME)
    admin.create_topics([topic], operation_timeout=20)[found.topic].result(30)
    found.set_up()
    return found


def produce_at(deployed: Deployment, records: Sequence[tuple[int, bytes]]) -> None:
    """Records of one job, each with its time in milliseconds, in this order."""
    producer = Producer({"bootstrap.servers": deployed.bootstrap, "enable.idempotence": True})
    failed: list[object] = []
    for timestamp, value in records:
        producer.produce(
            deployed.topic,
            key=b"job-0",
            value=value,
            timestamp=timestamp,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert not failed, failed


def test_a_record_from_past_the_year_9999_is_shown_and_its_dead_letter_goes_out(trusting: Deployment) -> None:
    events = [encode(event) for event in made_events(2, 1)]
    micros = NOW * 1000
    produce_at(trusting, [(NOW, events[0]), (micros, events[1]), (micros, b"no event at all")])
    assert trusting.drain()["dead_letters"] == 1
    assert trusting.lag() == 0
    wanted = f"{micros} ms since 1970"
    explained = json.loads(run_inside(trusting, "history", "job-0", "--json").stdout)
    assert [item["appended"] for item in explained["events"]] == ["2026-01-01T12:00:00.000Z", wanted, wanted]
    assert wanted in run_inside(trusting, "history", "job-0").stdout
    printed = [json.loads(line) for line in run_inside(trusting, "replay", "--print").stdout.splitlines()]
    assert [item["timestamp"] for item in printed] == ["2026-01-01T12:00:00.000Z", wanted, wanted]
    (letter,) = json.loads(run_inside(trusting, "dlq", "list", "--each", "--json").stdout)["letters"]
    assert letter["appended"] == wanted, "the original's own time is kept beside the one that the broker took"


def test_history_is_in_log_order_where_times_go_back(trusting: Deployment) -> None:
    words = ("pending", "processing", "success")
    events = [event._replace(status=word) for event, word in zip(made_events(3, 1), words, strict=True)]
    produce_at(trusting, [(NOW + at, encode(event)) for at, event in zip((-4000, -1000, -2000), events, strict=True)])
    trusting.drain()
    explained = json.loads(run_inside(trusting, "history", "job-0", "--json").stdout)
    assert [(item["offset"], item["outcome"]) for item in explained["events"]] == [
        (0, "superseded"),
        (1, "superseded"),
        (2, "shown"),
    ]
