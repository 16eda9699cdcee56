"""Health and metrics: with an unavailable database the process is live and not ready."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.breakable import Breakable
from support.deployment import ConsumerProcess, Deployment, deployment, made_events
from support.fixture_types import OwnServer
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def url_of(consumer: ConsumerProcess) -> str:
    consumer.says("metrics and health on")
    found = re.search(r"metrics and health on (http://\S+)", consumer.text())
    assert found is not None
    return found[1]


def asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def series(url: str, name: str) -> dict[tuple[str, ...], float]:
    """The series of a metric by the values of its own labels, without `topic` and `group`."""
    found = {}
    for family in text_string_to_metric_families(asked(f"{url}/metrics")[1]):
        for sample in family.samples:
            if sample.name == name:
                own = tuple(value for label, value in sample.labels.items() if label not in ("topic", "group"))
                found[own] = sample.value
    return found


def metric(url: str, name: str, *labels: str) -> float:
    return series(url, name)[labels]


def waited_for(url: str) -> list[str]:
    return [reason for (reason,), value in series(url, "jobstatus_waiting_for").items() if value]


def health(url: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(f"{url}/readyz")[1])
    return found


def test_without_a_broker_it_is_not_ready_and_stays_live(
    breakable: Breakable, database_url: str, tmp_path: Path
) -> None:
    kafka = breakable.kafka
    with deployment(kafka.bootstrap_servers, database_url, tmp_path, partitions=1) as deployed:
        first, second = (deployed.consumer(JOBSTATUS_HTTP_ADDRESS="127.0.0.1:0") for _ in range(2))
        urls = [url_of(first), url_of(second)]
        deployed.produce_events(made_events(50, 5))
        deployed.caught_up()
        # one of the two has no partition, and is as ready as the other
        until(lambda: sum(health(url)["assigned_partitions"] for url in urls) == 1, "one of them has the partition")
        kafka.nodes[0].kill()
        for url in urls:
            until(lambda url=url: asked(f"{url}/readyz")[0] == 503, "not ready without a broker")  # type: ignore[misc]
            assert health(url)["waiting_for"].startswith("brokers: none has answered for ")
            assert asked(f"{url}/livez")[0] == 200
        kafka.nodes[0].start()
        for url in urls:
            until(lambda url=url: asked(f"{url}/readyz")[0] == 200, "ready again")  # type: ignore[misc]
        deployed.produce_events(made_events(50, 5, seed=2))
        deployed.caught_up()
        assert (first.stop(), second.stop()) == (0, 0)


def test_ready_and_live_while_writing_and_only_live_while_waiting(own_server: OwnServer) -> None:
    with own_server() as (postgres, deployed):
        consumer = deployed.consumer(JOBSTATUS_HTTP_ADDRESS="127.0.0.1:0")
        url = url_of(consumer)
        deployed.produce_events(made_events(500, 50))
        deployed.caught_up()
        assert [asked(f"{url}/{path}")[0] for path in ("livez", "readyz", "nothing")] == [200, 200, 404]
        assert metric(url, "jobstatus_events_total", "applied") + metric(url, "jobstatus_events_total", "merged") == 500
        until(lambda: metric(url, "jobstatus_assigned_partitions") == 4, "the gauges are set")

        postgres.stop("immediate")
        deployed.produce_events(made_events(500, 50, seed=2))
        until(lambda: asked(f"{url}/readyz")[0] == 503, "not ready while the database is unavailable")
        told: dict[str, Any] = json.loads(asked(f"{url}/readyz")[1])
        assert told["waiting_for"].startswith("database")
        assert asked(f"{url}/livez")[0] == 200
        until(lambda: metric(url, "jobstatus_waiting_seconds") > 0, "the metric says how long")
        # the loop has paused by now, so that no fetch says what is new in the log
        deployed.produce_events(made_events(1_700, 50, seed=3))
        until(lambda: health(url)["lag_events"] == 2_200, "the lag is that of the log")
        assert sum(series(url, "jobstatus_lag_events").values()) == 2_200
        assert 0 < max(series(url, "jobstatus_lag_seconds").values()) < 120
        assert waited_for(url) == ["database"]

        postgres.start()
        until(lambda: asked(f"{url}/readyz")[0] == 200, "ready again")
        deployed.caught_up()
        until(lambda: metric(url, "jobstatus_waiting_seconds") == 0, "the metric is back at 0")
        assert waited_for(url) == ["none"]
        until(lambda: health(url)["lag_events"] == 0, "nothing is left to write")
        assert health(url)["oldest_unwritten_seconds"] == 0
        assert consumer.stop() == 0


def test_a_client_that_sends_nothing_keeps_neither_a_probe_nor_the_end_of_the_process_waiting(
    deployed: Deployment,
) -> None:
    consumer = deployed.consumer(JOBSTATUS_HTTP_ADDRESS="127.0.0.1:0")
    url = url_of(consumer)
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10):
        assert asked(f"{url}/livez")[0] == 200
        assert consumer.stop() == 0


def test_a_busy_address_is_an_error_only_where_it_was_asked_for(deployed: Deployment) -> None:
    first = deployed.consumer(JOBSTATUS_HTTP_ADDRESS="127.0.0.1:0")
    busy = url_of(first).removeprefix("http://")
    done = deployed.run("consume", "--http-address", busy, code=2)
    assert busy in done.stderr
    assert "give another host:port, or off" in done.stderr
