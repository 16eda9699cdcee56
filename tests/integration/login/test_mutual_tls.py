"""Mutual TLS on a real broker: who is let in, and certificates that are renewed while everything runs."""

from __future__ import annotations

import logging
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.kafka.renewing import NewCertificates
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import PortLease
from jobstatus_local.proxy import TcpProxy
from jobstatus_producer import JobStatusProducer
from jobstatus_schemas.certificates import CertificateFiles, expires_at
from support.certificates import Authority, Certificate
from support.console import Console, running_console
from support.deployment import Deployment, events_of
from support.parts import started
from support.tls import Mounted, produces_drains_and_checks, reconfigure, refusal, secured, with_tls
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

RENEWED = "the certificates have changed"
MADE_AGAIN = "the client was made again, with a certificate that expires at"
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

    def __init__(self, jobs: JobStatusProducer, name: str) -> None:
        self._jobs = jobs
        self.name = name
        self.count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporting")
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.02):
            self._jobs.update_job_status(f"{self.name}-{self.count % 7}", f"status-{self.count}")
            self.count += 1

    def end(self) -> None:
        self._end.set()
        self._thread.join(60)


@contextmanager
def reporting(deployed: Deployment, name: str, **more: str) -> Iterator[Reporting]:
    with worker(deployed, **more) as jobs:
        found = Reporting(jobs, name)
        try:
            yield found
        finally:
            found.end()


def is_well(console: Console) -> bool:
    """Whether the console has an answer of the broker, and of the group's coordinator."""
    overview = console.get("/api/overview").json
    return not overview["problems"] and not overview["stale"] and overview["state"] == "STABLE"


def shown_expiry(port: int) -> float:
    """What the consumer's metric says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        (line,) = re.findall(r"^jobstatus_certificate_expiry_timestamp_seconds{.*", answer.read().decode(), re.M)
    return float(line.split()[-1])


def answered_at(console: Console) -> float:
    """The time of which the broker's answer tells, in seconds since 1970."""
    return datetime.fromisoformat(console.get("/api/overview").json["true_at"]).timestamp()


def assert_nothing_is_lost(deployed: Deployment, all_reports: Sequence[Reporting]) -> None:
    deployed.settled()
    deployed.assert_exact()
    found: dict[str, set[int]] = {reports.name: set() for reports in all_reports}
    for event in events_of(deployed.records()):
        found[event.job_id.partition("-")[0]].add(int(event.status.removeprefix("status-")))
    assert found == {reports.name: set(range(reports.count)) for reports in all_reports}
    rows = deployed.rows()
    for reports in all_reports:
        last = {f"{reports.name}-{number % 7}": f"status-{number}" for number in range(reports.count)}
        assert {job: rows[job].status for job in last} == last, "no event has overtaken another of its job"


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


def mixed(authority: Authority) -> Certificate:
    """A certificate, and a key that does not belong to it."""
    return Certificate(authority.sign("one").certificate, authority.sign("another").key)


@pytest.mark.slow
def test_renewed_certificates_are_used_while_everything_runs(
    mutual: Mutual,
    with_certificate: Deployment,
    mounted: Mounted,
    authority: Authority,
    newer: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """First with a key that does not fit; at last the broker trusts the old ones no more, and cuts every connection."""
    caplog.set_level(logging.INFO, "jobstatus")
    deployed = with_certificate
    old, both = authority.sign("old"), tmp_path / "both.pem"
    both.write_text(authority.certificate.read_text() + newer.certificate.read_text())
    reconfigure(mutual.kafka, {"ssl.truststore.location": str(both)})
    spool = {"JOBSTATUS_SPOOL_DIR": str(tmp_path / "spool"), "JOBSTATUS_DURABLE": "1"}
    with (
        PortLease() as lease,
        running_console(deployed) as console,
        reporting(deployed, "direct") as direct,
        reporting(deployed, "durable", **spool) as durable,
    ):
        consumer = deployed.consumer(JOBSTATUS_HTTP_ADDRESS=f"127.0.0.1:{lease.port}")
        until(lambda: is_well(console), "the console asks the broker")
        mounted.replace(mixed(newer), [authority, newer])
        # once for the member, once for the client that watches the topic
        consumer.says(f"{NOT_USED}: the key in {mounted.key} does not belong to the certificate in", count=2)
        until(lambda: caplog.text.count(NOT_USED) == 4, "both workers and the two clients of the console say so")
        mounted.replace(newer.sign("worker"), [authority, newer])
        consumer.says("joining the group anew")
        consumer.says("got partitions", count=2)
        assert shown_expiry(lease.port) == expires_at(str(mounted.certificate))
        until(lambda: caplog.text.count(RENEWED) == 2, "both workers have new clients")
        until(lambda: MADE_AGAIN in caplog.text, "the console has new clients")
        with trusted_alone(mutual, authority, newer):
            until(lambda: is_refused(deployed, old), "the broker trusts the old certificate no more", every=0.5)
            mutual.proxy.cut()
            before, cut_at = direct.count + durable.count, time.time()
            until(lambda: direct.count + durable.count > before + 100, "more is reported")
            until(lambda: is_well(console) and answered_at(console) > cut_at, "the console goes on")
            for reports in (direct, durable):
                reports.end()
            deployed.settled()
    assert_nothing_is_lost(deployed, [direct, durable])
    assert consumer.text().count(NOT_USED) == 2
    assert consumer.stop() == 0


def spoil_nothing(mounted: Mounted) -> None:
    """The certificate itself is wrong."""


WRONG: Mapping[str, tuple[Callable[[Mounted], object], str]] = {
    "missing": (lambda mounted: mounted.key.unlink(), "there is no file {0.key}"),
    "empty": (lambda mounted: mounted.certificate.write_text(""), "the file {0.certificate} is empty"),
    "half": (lambda mounted: mounted.key.write_text(mounted.key.read_text()[:60]), "the key in {0.key} or the"),
    "expired": (spoil_nothing, "the certificate in {0.certificate} expired at"),
    "foreign": (spoil_nothing, "_"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_certificates_are_named_and_not_used(
    with_certificate: Deployment,
    mounted: Mounted,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The clock of the looks runs ten times as fast."""
    settings = load_settings(with_certificate.variables)
    found = NewCertificates(settings, files=CertificateFiles(settings.kafka, lambda: 10 * time.monotonic()))
    signs = Authority(tmp_path_factory.mktemp("foreign"), "foreign") if what == "foreign" else authority
    spoil, words = WRONG[what]
    mounted.replace(signs.sign("new", days=0 if what == "expired" else 1), [authority])
    spoil(mounted)

    def warned() -> bool:
        assert not found.accepted
        return NOT_USED in caplog.text

    until(warned, "the trouble is named")
    assert f"{NOT_USED}: {words.format(mounted)}" in caplog.text
    mounted.replace(authority.sign("new"), [authority])
    until(lambda: found.accepted, "the right certificate is accepted")
    assert caplog.text.count(NOT_USED) == 1
