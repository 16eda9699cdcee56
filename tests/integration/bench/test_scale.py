"""The scale bench measures real consumers, on the session's servers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import pytest
from bench.place import Place
from bench.scale import fleet
from bench.scale.backlogs import Backlog
from bench.scale.rebalance import PROTOCOLS, measure_group
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from jobstatus_local.stack import LocalStack
from support.fixture_types import MakeTopic

BACKLOG = Backlog(partitions=4, events=20_000)
TRIP_MS = 40


@pytest.mark.kafka
@pytest.mark.postgres
def test_two_consumers_over_a_distance_are_measured_while_both_write(
    kafka: LocalKafka, postgres: LocalPostgres
) -> None:
    # the session's broker may be another process's child, whose CPU nobody here can read
    broker = cast("LocalKafka", SimpleNamespace(bootstrap_servers=kafka.bootstrap_servers, nodes=()))
    place = Place(LocalStack(broker, postgres))
    topic = f"test-scale-{uuid4().hex[:8]}"
    place.make_topic(topic, BACKLOG.partitions)
    place.produce(topic, BACKLOG.records())
    load = fleet.Load(topic, consumers=2, batch=5, trip_ms=TRIP_MS)

    def run() -> fleet.Sample:
        with place.database() as url, TcpProxy(postgres.port) as proxy:
            proxy.delay(0.0, TRIP_MS / 1000)
            through = proxy.through(url)
            return fleet.measure(place, load, through, fleet.round_trip_ms(through), 1.0)

    found = fleet.settled(run, print)
    assert found is not None
    assert found.trip_ms >= TRIP_MS
    assert found.cycle_ms >= TRIP_MS, "each batch waits for a round trip"
    assert found.batches_per_second == pytest.approx(found.events_per_second / load.batch, rel=0.01)
    assert min(found.consumer_micros, found.postgres_micros, found.wal_bytes) > 0
    assert 20 < found.megabytes < 1000


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_groups_rebalances_are_measured(kafka: LocalKafka, make_topic: MakeTopic, protocol: str) -> None:
    properties = {**PROTOCOLS[protocol], "bootstrap.servers": kafka.bootstrap_servers}
    found = measure_group(make_topic(6), 3, properties)
    assert found.members == 3
    assert min(found.joined, found.one_more, found.one_less) > 0
