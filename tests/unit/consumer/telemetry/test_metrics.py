"""The consumer's metrics as a scrape sees them: names, labels, series from the start, and ages in a histogram."""

from __future__ import annotations

import json
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_consumer.kafka.counting import BrokerStates
from jobstatus_consumer.telemetry.families import AgeHistogram, Labels, LiveGauge
from jobstatus_consumer.telemetry.metrics import COMMITS, OUTCOMES, STALE, TARGET_ROWS, Metrics
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

BOUNDS = (0.5, 1.0, 10.0)
NOW = 1_767_268_800_000_000


def samples(registry: CollectorRegistry) -> list[Sample]:
    text = generate_latest(registry).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def test_every_series_whose_labels_are_known_exists_from_the_start() -> None:
    found = {(sample.name, *sample.labels.values()) for sample in samples(Metrics().registry) if sample.value == 0}
    words = {
        "jobstatus_events_total": OUTCOMES,
        "jobstatus_stale_events_total": STALE,
        "jobstatus_commits_total": COMMITS,
        "jobstatus_target_rows_total": TARGET_ROWS,
    }
    named = {(name, word) for name, known in words.items() for word in known}
    assert named <= {(name, word) for name, *values in found for word in values}
    plain = ("batches", "statements", "unreadable_headers", "rebalances", "database_connections")
    assert {f"jobstatus_{name}_total" for name in plain} <= {name for name, *_ in found}


def test_every_series_of_ours_says_of_which_topic_and_group_it_is() -> None:
    metrics = Metrics("job-status", "writers")
    metrics.lag_events.show({("3",): 7})
    ours = [sample for sample in samples(metrics.registry) if sample.name.startswith("jobstatus_")]
    assert {(sample.labels["topic"], sample.labels["group"]) for sample in ours} == {("job-status", "writers")}
    (lag,) = [sample for sample in ours if sample.name == "jobstatus_lag_events"]
    assert (lag.labels["partition"], lag.value) == ("3", 7)


def test_every_metric_is_described_once_and_under_the_name_that_a_scrape_shows() -> None:
    metrics = Metrics()
    described = [item.name for item in metrics.described]
    assert len(described) == len(set(described))
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    shown = {family.name + "_total" * (family.type == "counter") for family in families}
    assert {name for name in shown if name.startswith("jobstatus_")} == set(described)
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= shown


def test_the_same_is_valid_as_open_metrics() -> None:
    metrics = Metrics()
    metrics.freshness.observe([NOW - 1], NOW)
    text = open_metrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    assert list(parse_open_metrics(text))  # type: ignore[no-untyped-call]


def test_no_series_says_when_a_counter_was_made() -> None:
    assert not [sample.name for sample in samples(Metrics().registry) if sample.name.endswith("_created")]


def test_a_gauge_is_read_at_each_scrape_and_a_series_ends_with_what_it_is_about() -> None:
    registry, gauge = CollectorRegistry(), LiveGauge("lag", "the lag", ["partition"])
    registry.register(gauge)
    assert samples(registry) == []
    partitions: dict[Labels, float] = {("0",): 1.0, ("1",): 2.0}
    gauge.read = lambda: partitions
    assert [sample.value for sample in samples(registry)] == [1.0, 2.0]
    del partitions["0",]
    assert [sample.labels for sample in samples(registry)] == [{"partition": "1"}]


def counts(histogram: AgeHistogram) -> list[float]:
    registry = CollectorRegistry()
    registry.register(histogram)
    return [sample.value for sample in samples(registry) if sample.name == "age_bucket"]


@given(st.lists(st.lists(st.integers(-1_000_000, 20_000_000), max_size=60), max_size=4))
def test_the_histogram_counts_each_age_in_the_bucket_that_it_belongs_to(batches: list[list[int]]) -> None:
    histogram, expected = AgeHistogram("age", "an age", BOUNDS), [0] * (len(BOUNDS) + 1)
    for ages in batches:
        histogram.observe([NOW - age for age in ages], NOW)
        for age in ages:
            for place in range(bisect_left([int(bound * 1e6) for bound in BOUNDS], age), len(expected)):
                expected[place] += 1
    assert counts(histogram) == expected


def test_the_histogram_adds_up_seconds_and_no_age_is_negative() -> None:
    registry, histogram = CollectorRegistry(), AgeHistogram("age", "an age", BOUNDS)
    registry.register(histogram)
    histogram.observe([NOW - 2_500_000, NOW - 500_000], NOW)
    histogram.observe([NOW + 3_000_000], NOW)
    histogram.observe([], NOW)
    found = {sample.name: sample.value for sample in samples(registry) if sample.name != "age_bucket"}
    assert found == {"age_sum": pytest.approx(3.0), "age_count": 3}


def test_a_connection_to_a_broker_counts_under_the_brokers_own_name_only() -> None:
    states = BrokerStates()
    assert states.reachable == 0
    report = {
        "brokers": {
            "kafka:9092/1": {"nodeid": 1, "state": "UP"},
            "kafka:9093/2": {"nodeid": 2, "state": "TRY_CONNECT"},
            "kafka:9094/3": {"nodeid": 3, "state": "INIT"},
            "GroupCoordinator": {"nodeid": -1, "state": "UP"},
            "kafka:9092/bootstrap": {"nodeid": -1, "state": "UP"},
        }
    }
    states(json.dumps(report))
    assert states.reachable == 1
    states("{}")
    assert states.reachable == 0
