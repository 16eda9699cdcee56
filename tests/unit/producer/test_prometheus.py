"""The collector shows the producer's own numbers, and the producer does without it."""

from __future__ import annotations

from dataclasses import fields

import pytest
from jobstatus_producer import JobStatusProducer, Stats, UndeliveredError
from jobstatus_producer.prometheus import COUNTERS, GAUGES, ProducerCollector
from prometheus_client import CollectorRegistry, generate_latest


def test_a_scrape_shows_the_stats_of_the_moment() -> None:
    jobs = JobStatusProducer.from_env({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    registry = CollectorRegistry()
    registry.register(ProducerCollector(jobs))
    jobs.update_many([("job", "ok")] * 3)
    text = generate_latest(registry).decode()
    assert "jobstatus_producer_accepted_total 3.0" in text
    assert "jobstatus_producer_queue_depth 3.0" in text
    with pytest.raises(UndeliveredError):
        jobs.close(0)


def test_every_number_of_the_stats_is_a_metric() -> None:
    assert {*COUNTERS, *GAUGES} == {field.name for field in fields(Stats)} - {"last_error"}
