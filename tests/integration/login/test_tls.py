"""TLS on the real parts: SASL_SSL with SCRAM and PEM, PostgreSQL with `verify-full`, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from jobstatus_local.kafka import LocalKafka
from support.certificates import Authority
from support.deployment import Deployment, deployment, made_events
from support.inside import run_inside
from support.parts import started
from support.postgres_ssl import postgres_with_tls, renew
from support.secured import PASSWORD, USER, inside
from support.tls import Mounted, produces_drains_and_checks, refusal, secured, with_tls
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no server trusts, and that has signed no server's certificate."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def scram(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker with SASL_SSL, and a user with a password for SCRAM-SHA-512."""
    jaas = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }
    with started(
        "a real Apache Kafka", with_tls(authority, tmp_path_factory.mktemp("scram"), "SASL_SSL", jaas)
    ) as server:
        user = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
        )
        admin = AdminClient({"bootstrap.servers": inside(server)})
        for done in admin.alter_user_scram_credentials([user]).values():
            done.result(30)
        yield server


@pytest.fixture(scope="module")
def database(authority: Authority) -> Iterator[str]:
    """A PostgreSQL with a certificate for 127.0.0.1."""
    with postgres_with_tls(authority.sign("postgres")) as url:
        yield url


@pytest.fixture
def with_scram(scram: LocalKafka, database_url: str, authority: Authority, tmp_path: Path) -> Iterator[Deployment]:
    login = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": USER, "sasl_password": PASSWORD}
    trusted = {"security_protocol": "SASL_SSL", "ssl_ca_location": str(authority.certificate)}
    with secured(scram, database_url, tmp_path, **trusted, **login) as found:
        yield found


def test_sasl_ssl_with_scram_and_pem(with_scram: Deployment) -> None:
    produces_drains_and_checks(with_scram)


def test_a_broker_of_another_authority_is_refused(with_scram: Deployment, other: Authority) -> None:
    text = refusal(with_scram, JOBSTATUS_KAFKA_SSL_CA_LOCATION=str(other.certificate))
    assert "certificate verify failed" in text
    assert "JOBSTATUS_KAFKA_SSL_CA_LOCATION" in text


def test_a_broker_whose_certificate_has_another_host_name_is_refused(with_scram: Deployment) -> None:
    servers = with_scram.more["JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"].replace("127.0.0.1", "localhost")
    text = refusal(with_scram, JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS=servers)
    assert "certificate verify failed" in text
    assert "for the host name that you gave" in text


def test_postgresql_with_verify_full(kafka: LocalKafka, database: str, authority: Authority, tmp_path: Path) -> None:
    url = f"{database}?sslmode=verify-full&sslrootcert={authority.certificate}"
    with deployment(kafka.bootstrap_servers, url, tmp_path) as deployed:
        produces_drains_and_checks(deployed)
        assert deployed.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]


def test_renewed_certificates_of_the_database_are_used_at_the_next_connection(
    kafka: LocalKafka, authority: Authority, other: Authority, tmp_path: Path
) -> None:
    """Those of the server and of its clients, by another authority, while a consumer runs."""
    mounted = Mounted(tmp_path / "certificates")
    mounted.replace(authority.sign("jobstatus"), [authority])
    names = {"sslrootcert": mounted.authorities, "sslcert": mounted.certificate, "sslkey": mounted.key}
    with (
        postgres_with_tls(authority.sign("first")) as url,
        psycopg.connect(f"{url}?sslmode=require", autocommit=True) as owner,
    ):
        renew(owner, authority.sign("second"), authority.certificate)
        full = f"{url}?sslmode=verify-full&" + "&".join(f"{name}={path}" for name, path in names.items())
        until(lambda: connects(full) and not connects(f"{url}?sslmode=require"), "clients need a certificate")
        with deployment(kafka.bootstrap_servers, full, tmp_path) as deployed:
            consumer = deployed.consumer()
            deployed.produce_events(made_events(60, 10))
            deployed.settled()
            mounted.replace(other.sign("jobstatus"), [other])
            renew(owner, other.sign("third"), other.certificate)
            until(lambda: connects(full), "the server has the new certificates")
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            deployed.produce_events(made_events(60, 10, seed=2))
            deployed.settled()
            deployed.assert_exact()
            assert consumer.stop() == 0


def connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_database_that_cannot_prove_itself_is_refused(
    deployed: Deployment, database: str, authority: Authority, other: Authority
) -> None:
    full = "sslmode=verify-full&sslrootcert="
    text = run_inside(deployed, "check", code=1, JOBSTATUS_DATABASE_URL=f"{database}?{full}{other.certificate}").stdout
    assert "certificate verify failed" in text
    named = database.replace("127.0.0.1", "localhost")
    text = run_inside(deployed, "check", code=1, JOBSTATUS_DATABASE_URL=f"{named}?{full}{authority.certificate}").stdout
    assert 'does not match host name "localhost"' in text
