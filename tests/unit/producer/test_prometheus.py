"""The collector shows the producer's own numbers, and the producer does without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import fields

import pytest
from jobstatus_producer import JobStatusProducer, Stats, UndeliveredError
from jobstatus_producer.prometheus import COUNTERS, GAUGES, ProducerCollector
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

NOBODY = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def test_a_scrape_shows_the_stats_of_the_moment() -> None:
    jobs = JobStatusProducer.from_env(NOBODY)
    registry = CollectorRegistry()
    registry.register(ProducerCollector(jobs))
    jobs.update_many([("job", "ok")] * 3)
    text = generate_latest(registry).decode()
    assert 'jobstatus_producer_accepted_total{topic="job-status"} 3.0' in text
    assert 'jobstatus_producer_queue_depth{topic="job-status"} 3.0' in text
    with pytest.raises(UndeliveredError):
        jobs.close(0)


def test_every_number_of_the_stats_is_a_metric() -> None:
    assert {*COUNTERS, *GAUGES} == {field.name for field in fields(Stats)} - {"last_error"}


def test_all_producers_of_a_process_go_into_one_registry() -> None:
    topics = ("a", "a", "b")
    producers = [JobStatusProducer.from_env(NOBODY | {"JOBSTATUS_TOPIC": topic}) for topic in topics]
    registry = CollectorRegistry()
    registry.register(ProducerCollector(*producers))
    for number, jobs in enumerate(producers, 1):
        jobs.update_many([("job", "ok")] * number)
    families = {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}
    accepted = families["jobstatus_producer_accepted"].samples
    assert {sample.labels["topic"]: sample.value for sample in accepted} == {"a": 3.0, "b": 3.0}
    ages = families["jobstatus_producer_oldest_undelivered_seconds"].samples
    assert all(0 < sample.value < 3600 for sample in ages)
    for jobs in producers:
        with pytest.raises(UndeliveredError):
            jobs.close(0)


def test_a_scrape_starts_no_producer_and_fails_for_none_that_is_closed(
    begin_anew: Callable[[JobStatusProducer], None],
) -> None:
    """In a forked child both are so before the first report, and a server may scrape at any time."""
    jobs = JobStatusProducer.from_env(NOBODY)
    registry = CollectorRegistry()
    registry.register(ProducerCollector(jobs))
    jobs.update_job_status("job", "ok")
    begin_anew(jobs)
    threads = threading.active_count()
    assert 'jobstatus_producer_accepted_total{topic="job-status"} 0.0' in generate_latest(registry).decode()
    assert threading.active_count() == threads, "no producer was started"
    jobs.close()
    assert 'jobstatus_producer_accepted_total{topic="job-status"} 0.0' in generate_latest(registry).decode()
