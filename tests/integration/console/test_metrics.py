"""The newest comparison of the table with the log, as Prometheus sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from jobstatus_consumer.console import Options
from jobstatus_consumer.telemetry.metrics import Metrics
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse
from support.console import Answer, Console, running_console, shown_deployment
from support.deployment import Deployment, made_events
from support.prometheus import promtool
from support.waiting import until

TOKEN = "a-token-of-some-length"
OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
EVENTS = 40


@pytest.fixture(scope="module")
def shown(kafka: LocalKafka, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of this module's own: its rows differ from the log for a while."""
    with shown_deployment(kafka, postgres, tmp_path_factory) as found:
        found.produce_events(made_events(EVENTS, 10))
        found.drain()
        yield found


@pytest.fixture(scope="module")
def console(shown: Deployment) -> Iterator[Console]:
    """A console that compares all the time, and wants a token."""
    with running_console(shown, Options(verify_every=1), console_token=TOKEN) as found:
        yield found


def scrape(console: Console, **headers: str) -> Answer:
    return console.get("/metrics", Authorization=f"Bearer {TOKEN}", **headers)


def series(console: Console, name: str) -> dict[str, float]:
    """The series of a metric by their labels, those apart that all of them have."""
    found = {}
    for family in parse(scrape(console).text):
        for sample in family.samples:
            if sample.name == f"jobstatus_{name}":
                labels = {key: value for key, value in sample.labels.items() if key not in ("topic", "group")}
                found[",".join(labels.values())] = sample.value
    return found


def test_the_metrics_are_for_those_who_may_ask(console: Console) -> None:
    assert console.get("/metrics").code == 401
    assert console.get("/metrics", Authorization="Bearer wrong-token-of-it").code == 401
    refused = scrape(console, Host="evil.example")
    assert (refused.code, "jobstatus_" in refused.text) == (403, False)
    answer = scrape(console)
    assert (answer.code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert TOKEN not in answer.text


def test_prometheus_gets_open_metrics_and_promtool_finds_no_fault(console: Console) -> None:
    until(lambda: series(console, "verify_complete") == {"": 1}, "the table is compared")
    answer = scrape(console, Accept=OPEN_METRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = parse_open_metrics(answer.text)  # type: ignore[no-untyped-call]
    assert "jobstatus_verify_findings" in {family.name for family in families}
    done = promtool("check", "metrics", given=scrape(console).text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_newest_comparison_is_there_with_its_rows_its_time_and_its_end(console: Console) -> None:
    until(lambda: series(console, "verify_complete") == {"": 1}, "the table is compared")
    right = {"missing": 0, "behind": 0, "different": 0, "out_of_turn": 0}
    assert series(console, "verify_findings") == right
    assert series(console, "verify_events") == {"": EVENTS}
    assert series(console, "verify_interval_seconds") == {"": 1}
    before = series(console, "verify_timestamp_seconds")[""]
    assert before >= series(console, "console_start_timestamp_seconds")[""]

    console.deployed.query("UPDATE jobs SET error_message = 'by hand' WHERE job_id = (SELECT min(job_id) FROM jobs)")
    console.deployed.query("DELETE FROM jobs WHERE job_id = (SELECT max(job_id) FROM jobs)")
    wrong = {**right, "missing": 1, "different": 1}
    until(lambda: series(console, "verify_findings") == wrong, "the rows that differ are found")
    assert series(console, "verify_timestamp_seconds")[""] > before
    assert "by hand" not in scrape(console).text


def test_a_comparison_that_fails_is_not_complete_and_the_one_before_stays(console: Console) -> None:
    until(lambda: series(console, "verify_complete") == {"": 1}, "the table is compared")
    console.deployed.query("ALTER TABLE jobs_progress RENAME TO hidden_progress")
    try:
        until(lambda: series(console, "verify_complete") == {"": 0}, "a comparison fails")
        stayed = series(console, "verify_timestamp_seconds")
        assert stayed
        assert set(series(console, "verify_findings")) == {"missing", "behind", "different", "out_of_turn"}
        assert series(console, "verify_timestamp_seconds") == stayed
    finally:
        console.deployed.query("ALTER TABLE hidden_progress RENAME TO jobs_progress")
    until(lambda: series(console, "verify_complete") == {"": 1}, "it is complete again")


def test_no_name_says_that_a_consumer_runs(console: Console) -> None:
    ours = set(re.findall(r"^# TYPE (jobstatus_\w+)", scrape(console).text, re.MULTILINE))
    assert ours & {item.name for item in Metrics().described} == set()


def test_a_console_that_does_not_compare_says_nothing_of_it(shown: Deployment) -> None:
    with running_console(shown) as own:
        answer = own.get("/metrics")
        assert answer.code == 200
        assert "jobstatus_console_build_info{" in answer.text
        assert not re.search(r"^jobstatus_verify", answer.text, re.MULTILINE)
