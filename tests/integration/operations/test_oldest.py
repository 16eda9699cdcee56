"""The oldest unwritten event of a long backlog is found without reading the backlog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.core import Watermarks
from jobstatus_consumer.kafka import FETCH_DEFAULTS, FETCH_LITTLE, RangeReader, Topics
from jobstatus_consumer.operations import PartitionStatus, oldest_unwritten
from jobstatus_consumer.records import Log
from support.deployment import Deployment, made_events
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

EVENTS = 8_000


def test_only_the_first_records_are_fetched(deployed: Deployment) -> None:
    events = made_events(EVENTS, 100)
    # a batch is fetched as a whole, so there are many of them
    for start in range(0, EVENTS, 400):
        deployed.produce_events(events[start : start + 400])
    little, found = fetched(deployed, FETCH_LITTLE)
    usual, same = fetched(deployed, FETCH_DEFAULTS)
    assert found is not None
    assert found == same
    assert usual > 500_000
    assert little < usual / 5


def fetched(deployed: Deployment, fetch: Mapping[str, Any]) -> tuple[int, float | None]:
    """How many bytes came from the broker, and what was found."""
    received: list[int] = []

    def note(text: str) -> None:
        received.append(sum(broker["rxbytes"] for broker in json.loads(text)["brokers"].values()))

    made: list[Consumer] = []

    def make(properties: dict[str, Any]) -> Consumer:
        made.append(Consumer({**properties, "statistics.interval.ms": 50, "stats_cb": note}))
        return made[-1]

    settings = load_settings(deployed.variables)
    topics = Topics(settings)
    with RangeReader(settings, topics, make_client=make, fetch=fetch) as reader:
        found = oldest_unwritten(reader, unwritten(deployed, reader.watermarks(), reader.topic_id))
        before = len(received)

        def quiet() -> bool:
            made[-1].poll(0.2)
            return len(received) > before + 3 and received[-1] == received[-2]

        until(quiet, "nothing more comes")
    return received[-1], found


def unwritten(deployed: Deployment, marks: Mapping[int, Watermarks], topic_id: str) -> list[PartitionStatus]:
    return [
        PartitionStatus(Log(deployed.topic, topic_id, number), item.low, item.high, None, None)
        for number, item in marks.items()
    ]
