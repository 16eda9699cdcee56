"""TLS on the real parts: SASL_SSL with SCRAM and PEM, mutual TLS, PostgreSQL with `verify-full`, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka import Topics
from jobstatus_local.kafka import LocalKafka
from support.certificates import Authority
from support.deployment import Deployment, deployment
from support.inside import run_inside
from support.parts import started
from support.postgres_ssl import postgres_with_tls
from support.secured import PASSWORD, USER, inside
from support.shared_broker import NEVER_DELETES, STARVED

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no server trusts, and that has signed no server's certificate."""
    return Authority(tmp_path_factory.mktemp("other"))


def with_tls(authority: Authority, folder: Path, protocol: str, **more: str) -> LocalKafka:
    """A broker whose clients connect with TLS; its files are PEM."""
    keystore = folder / "broker.pem"
    keystore.write_text(authority.sign("broker").together)
    prefix = "listener.name.client."
    properties = {
        "listener.security.protocol.map": f"CLIENT:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        f"{prefix}ssl.keystore.type": "PEM",
        f"{prefix}ssl.keystore.location": str(keystore),
        f"{prefix}ssl.truststore.type": "PEM",
        f"{prefix}ssl.truststore.location": str(authority.certificate),
        **{f"{prefix}{name.replace('_', '.')}": value for name, value in more.items()},
    }
    return LocalKafka(properties={**NEVER_DELETES, **STARVED, **properties})


@pytest.fixture(scope="module")
def scram(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker with SASL_SSL, and a user with a password for SCRAM-SHA-512."""
    jaas = {
        "sasl_enabled_mechanisms": "SCRAM-SHA-512",
        "scram-sha-512_sasl_jaas_config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }
    with started(
        "a real Apache Kafka", with_tls(authority, tmp_path_factory.mktemp("scram"), "SASL_SSL", **jaas)
    ) as server:
        user = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
        )
        admin = AdminClient({"bootstrap.servers": inside(server)})
        for done in admin.alter_user_scram_credentials([user]).values():
            done.result(30)
        yield server


@pytest.fixture(scope="module")
def mutual(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that asks each client for a certificate."""
    required = {"ssl_client_auth": "required"}
    with started(
        "a real Apache Kafka", with_tls(authority, tmp_path_factory.mktemp("mutual"), "SSL", **required)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def database(authority: Authority) -> Iterator[str]:
    """A PostgreSQL with a certificate for 127.0.0.1."""
    with postgres_with_tls(authority.sign("postgres")) as url:
        yield url


def secured(server: LocalKafka, url: str, folder: Path, **kafka: str) -> Iterator[Deployment]:
    with deployment(inside(server), url, folder) as found:
        found.more |= {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": server.bootstrap_servers}
        found.more |= {f"JOBSTATUS_KAFKA_{name.upper()}": value for name, value in kafka.items()}
        yield found


@pytest.fixture
def with_scram(scram: LocalKafka, database_url: str, authority: Authority, tmp_path: Path) -> Iterator[Deployment]:
    yield from secured(
        scram,
        database_url,
        tmp_path,
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=USER,
        sasl_password=PASSWORD,
        ssl_ca_location=str(authority.certificate),
    )


@pytest.fixture
def with_certificate(
    mutual: LocalKafka, database_url: str, authority: Authority, tmp_path: Path
) -> Iterator[Deployment]:
    own = authority.sign("worker")
    yield from secured(
        mutual,
        database_url,
        tmp_path,
        security_protocol="SSL",
        ssl_ca_location=str(authority.certificate),
        ssl_certificate_location=str(own.certificate),
        ssl_key_location=str(own.key),
    )


def produces_drains_and_checks(deployed: Deployment) -> None:
    assert run_inside(deployed, "check").stdout.startswith("all is ready")
    for number in range(5):
        run_inside(deployed, "emit", "--job-id", f"job-{number}", "--status", "done")
    deployed.drain()
    deployed.assert_exact()
    assert len(deployed.rows()) == 5
    run_inside(deployed, "verify")


def refusal(deployed: Deployment, **environ: str) -> str:
    """What a command says of the broker, after two seconds instead of half a minute."""
    with pytest.raises(BrokerAwayError) as raised:
        Topics(load_settings({**deployed.variables, **environ})).reach(2.0)
    return str(raised.value)


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


def test_mutual_tls(with_certificate: Deployment) -> None:
    produces_drains_and_checks(with_certificate)


def test_a_client_without_a_certificate_or_with_an_expired_one_is_refused(
    with_certificate: Deployment, authority: Authority
) -> None:
    expired = authority.sign("expired", days=0)
    for environ in (
        {
            "JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION": str(expired.certificate),
            "JOBSTATUS_KAFKA_SSL_KEY_LOCATION": str(expired.key),
        },
        {"JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION": "", "JOBSTATUS_KAFKA_SSL_KEY_LOCATION": ""},
    ):
        text = refusal(with_certificate, **environ)
        assert "JOBSTATUS_KAFKA_SSL_CERTIFICATE_LOCATION" in text


def test_postgresql_with_verify_full(kafka: LocalKafka, database: str, authority: Authority, tmp_path: Path) -> None:
    url = f"{database}?sslmode=verify-full&sslrootcert={authority.certificate}"
    with deployment(kafka.bootstrap_servers, url, tmp_path) as deployed:
        produces_drains_and_checks(deployed)
        assert deployed.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]


def test_a_database_that_cannot_prove_itself_is_refused(
    deployed: Deployment, database: str, authority: Authority, other: Authority
) -> None:
    full = "sslmode=verify-full&sslrootcert="
    text = run_inside(deployed, "check", code=1, JOBSTATUS_DATABASE_URL=f"{database}?{full}{other.certificate}").stdout
    assert "certificate verify failed" in text
    named = database.replace("127.0.0.1", "localhost")
    text = run_inside(deployed, "check", code=1, JOBSTATUS_DATABASE_URL=f"{named}?{full}{authority.certificate}").stdout
    assert 'does not match host name "localhost"' in text
