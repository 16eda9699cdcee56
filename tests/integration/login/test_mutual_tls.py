"""Mutual TLS on a real broker: who is let in, and certificates that are renewed while everything runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka import Topics
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.proxy import TcpProxy
from jobstatus_producer import JobStatusProducer
from support.certificates import Authority, Certificate
from support.console import Console, running_console
from support.deployment import Deployment, events_of
from support.parts import started
from support.tls import Mounted, produces_drains_and_checks, reconfigure, refusal, secured, with_tls
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

RENEWED = "the certificates have changed"
NOT_USED = "new certificates are not used"


class Mutual(NamedTuple):
    """A broker that asks each client for a certificate, and the proxy that its clients connect through."""

    kafka: LocalKafka
    proxy: TcpProxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that takes the place of the other one."""
    return Authority(tmp_path_factory.mktemp("newer"), "newer")


@pytest.fixture(scope="module")
def mutual(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutual]:
    proxies: list[TcpProxy] = []

    def advertise(_node_id: int, port: int) -> tuple[str, int]:
        proxies.append(TcpProxy(port))
        proxies[0].start()
        return proxies[0].address

    server = with_tls(authority, tmp_path_factory.mktemp("mutual"), "SSL", {"ssl.client.auth": "required"}, advertise)
    with started("a real Apache Kafka", server):
        yield Mutual(server, proxies[0])
    proxies[0].close()


@pytest.fixture
def mounted(authority: Authority, tmp_path: Path) -> Mounted:
    found = Mounted(tmp_path / "certificates")
    found.replace(authority.sign("worker"), [authority])
    return found


@pytest.fixture
def with_certificate(mutual: Mutual, database_url: str, mounted: Mounted, tmp_path: Path) -> Iterator[Deployment]:
    with secured(mutual.kafka, database_url, tmp_path, **mounted.settings) as found:
        yield found


def test_mutual_tls(with_certificate: Deployment) -> None:
    produces_drains_and_checks(with_certificate)


def test_a_client_without_a_certificate_or_with_an_expired_one_is_refused(
    with_certificate: Deployment, authority: Authority
) -> None:
    expired = authority.sign("expired", days=0)
    for certificate, key in ((str(expired.certificate), str(expired.key)), ("", "")):
        text = refusal(with_certificate, **showing(certificate, key))
        assert "JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION" in text


def showing(certificate: str, key: str) -> dict[str, str]:
    return {
        "JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION": certificate,
        "JOBSTATUS_KAFKA_SSL_KEY_LOCATION": key,
    }


def is_refused(deployed: Deployment, own: Certificate) -> bool:
    settings = load_settings({**deployed.variables, **showing(str(own.certificate), str(own.key))})
    try:
        Topics(settings).reach(1.0)
    except BrokerAwayError:
        return True
    return False


def worker(deployed: Deployment, **more: str) -> JobStatusProducer:
    environ = {**deployed.variables, **more}
    for name in ("GROUP_ID", "DATABASE_URL", "TABLE", "HTTP_ADDRESS", "KAFKA_SESSION_TIMEOUT_MS"):
        environ.pop(f"JOBSTATUS_{name}", None)
    return JobStatusProducer.from_env(environ)


class Reporting:
    """Reports the statuses of a few jobs, steadily, until it is ended."""

    def __init__(self, jobs: JobStatusProducer) -> None:
        self._jobs = jobs
        self.count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporting")
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.02):
            self._jobs.update_job_status(f"job-{self.count % 7}", f"status-{self.count}")
            self.count += 1

    def end(self) -> None:
        self._end.set()
        self._thread.join(60)


@contextmanager
def reporting(deployed: Deployment, **more: str) -> Iterator[Reporting]:
    with worker(deployed, **more) as jobs:
        found = Reporting(jobs)
        try:
            yield found
        finally:
            found.end()


def is_well(console: Console) -> bool:
    """Whether the console has an answer of the broker, and of the group's coordinator."""
    overview = console.get("/api/overview").json
    return not overview["problems"] and not overview["stale"] and overview["state"] == "STABLE"


def answered_at(console: Console) -> float:
    """The time of which the broker's answer tells, in seconds since 1970."""
    return datetime.fromisoformat(console.get("/api/overview").json["true_at"]).timestamp()


def statuses(deployed: Deployment) -> dict[str, list[int]]:
    """The numbers of the events in the log, of each job."""
    found: dict[str, list[int]] = {}
    for event in events_of(deployed.records()):
        found.setdefault(event.job_id, []).append(int(event.status.removeprefix("status-")))
    return found


def assert_nothing_is_lost(deployed: Deployment, count: int) -> None:
    deployed.settled()
    deployed.assert_exact()
    found = statuses(deployed)
    assert sorted({number for numbers in found.values() for number in numbers}) == list(range(count))
    assert all(row.status == f"status-{max(found[job])}" for job, row in deployed.rows().items())


@contextmanager
def trusted_alone(mutual: Mutual, old: Authority, new: Authority) -> Iterator[None]:
    """The broker trusts the new authority alone, and shows a certificate of it. The old one comes back at the end."""
    before = mutual.kafka.properties
    folder = new.certificate.parent
    (folder / "broker.pem").write_text(new.sign("broker").together)
    reconfigure(mutual.kafka, {"ssl.keystore.location": str(folder / "broker.pem")})
    reconfigure(mutual.kafka, {"ssl.truststore.location": str(new.certificate)})
    try:
        yield
    finally:
        for name in ("ssl.keystore.location", "ssl.truststore.location"):
            reconfigure(mutual.kafka, {name: before[f"listener.name.client.{name}"]})


def test_renewed_certificates_are_used_while_everything_runs(
    mutual: Mutual,
    with_certificate: Deployment,
    mounted: Mounted,
    authority: Authority,
    newer: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then the broker trusts the old ones no more, and every connection is cut."""
    caplog.set_level(logging.INFO, "jobstatus")
    deployed = with_certificate
    both = tmp_path / "both.pem"
    both.write_text(authority.certificate.read_text() + newer.certificate.read_text())
    reconfigure(mutual.kafka, {"ssl.truststore.location": str(both)})
    consumer = deployed.consumer(JOBSTATUS_KAFKA_STATISTICS_INTERVAL_MS="1000")
    with running_console(deployed) as console, reporting(deployed) as reports:
        until(lambda: is_well(console), "the console asks the broker")
        old = Certificate(tmp_path / "old.pem", tmp_path / "old.key")
        for path, source in zip(old, (mounted.certificate, mounted.key), strict=True):
            path.write_bytes(source.read_bytes())
        mounted.replace(newer.sign("worker"), [authority, newer])
        consumer.says("joining the group anew")
        consumer.says("got partitions", count=2)
        until(lambda: RENEWED in caplog.text, "the worker has a new client")
        until(lambda: "the client was made again" in caplog.text, "the console has a new client")
        with trusted_alone(mutual, authority, newer):
            until(lambda: is_refused(deployed, old), "the broker trusts the old certificate no more", every=0.5)
            mutual.proxy.cut()
            before, cut_at = reports.count, time.time()
            until(lambda: reports.count > before + 50, "more is reported")
            until(lambda: is_well(console) and answered_at(console) > cut_at, "the console goes on")
            reports.end()
            deployed.settled()
            assert consumer.process.poll() is None
    assert_nothing_is_lost(deployed, reports.count)
    assert consumer.stop() == 0
