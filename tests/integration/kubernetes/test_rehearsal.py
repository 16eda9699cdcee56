"""An install, an upgrade, an outage and a stop, with the containers of the rendered chart as real processes.

Each login is a role of its own in the database, with the rights that `jobstatus grants` prints and no others.
"""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from psycopg.sql import SQL, Identifier, Literal
from support.certificates import Authority
from support.chart import GOLDEN, objects
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.parts import started
from support.postgres_ssl import postgres_with_tls, renew
from support.rehearsal import Object, Rehearsal, named, pod_of
from support.tls import with_tls
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

ROLES = ("owner", "consumer", "console")
TOKEN = "0123456789abcdef-of-the-test"


@pytest.fixture
def logins(database_url: str) -> Iterator[dict[str, str]]:
    """A role for each login, by its name: owner, consumer, console."""
    number = uuid.uuid4().hex[:8]
    names = {role: f"chart_{role}_{number}" for role in ROLES}
    with psycopg.connect(database_url, autocommit=True) as administrator:
        for name in names.values():
            administrator.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(name), Literal(name)))
        yield names
        for name in names.values():
            administrator.execute(SQL("DROP OWNED BY {} CASCADE").format(Identifier(name)))
            administrator.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def as_role(url: str, name: str) -> str:
    """The URL with another login."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{name}:{name}@{parts.hostname}:{parts.port}").geturl()


def grant(deployed: Deployment, role: str, name: str) -> None:
    """Give the role its rights, as the owner of the database does it with psql."""
    deployed.query(run_inside(deployed, "grants", role, "--role", name).stdout)


def ask(url: str, token: str = "") -> tuple[int, str]:
    """The status and the text of an answer."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _answers(url: str) -> None:
    """Wait until a path of the console is answered: what it shows is read in the background."""
    text = ""

    def answered() -> bool:
        nonlocal text
        status, text = ask(url, TOKEN)
        return status == 200

    try:
        until(answered, f"{url} is answered", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {text}") from None


@pytest.fixture
def full() -> list[Object]:
    return objects((GOLDEN / "full.yaml").read_text("utf-8"))


def test_the_rendered_chart_installs_upgrades_waits_for_its_database_and_stops(
    kafka: LocalKafka,
    postgres: LocalPostgres,
    database_url: str,
    logins: dict[str, str],
    full: list[Object],
    tmp_path: Path,
) -> None:
    name = uuid.uuid4().hex[:10]
    deployed = Deployment(
        kafka.bootstrap_servers, database_url, f"chart-{name}", f"group-{name}", tmp_path, partitions=12
    )
    setup, test = pod_of(named(full, "Job", "setup")), pod_of(named(full, "Pod", "test"))
    consumer, console = (pod_of(named(full, "Deployment", kind)) for kind in ("consumer", "console"))
    with TcpProxy(postgres.port) as proxy:
        secrets = {
            "jobstatus-owner": {"url": as_role(database_url, logins["owner"])},
            "jobstatus-database": {"url": as_role(proxy.through(database_url), logins["consumer"])},
            "jobstatus-console": {"url": as_role(database_url, logins["console"])},
            "jobstatus-console-token": {"token": TOKEN},
        }
        # other tests use the same broker
        replaced = {
            "kafka:9092": kafka.bootstrap_servers,
            "job-status": deployed.topic,
            "jobstatus": deployed.group,
        }
        rehearsal = Rehearsal(tmp_path, secrets, replaced)

        # the hook of an install, and that of an upgrade, which changes nothing
        grant(deployed, "migrate", logins["owner"])
        made, again = rehearsal.to_the_end(setup), rehearsal.to_the_end(setup)
        assert "made with 12 partitions" in made[0]
        assert "made with" not in again[0]
        for role in ("consumer", "console"):
            grant(deployed, role, logins[role])

        # a pod that starts while the database is unreachable waits for it, and is not restarted meanwhile
        proxy.refuse()
        with rehearsal.running(consumer) as one:
            until(
                lambda: "the database does not answer yet" in one.log.read_text(), "the consumer waits for its database"
            )
            assert (one.probe("startupProbe"), one.process.poll()) == (0, None)
            proxy.heal()
            one.starts()
            one.becomes("readinessProbe", 200)
            deployed.produce_events(made_events(200, 20))
            deployed.caught_up()
            deployed.assert_exact()

            # `helm test`, beside the consumer
            assert rehearsal.to_the_end(test)[-1].startswith("all is ready")

            # the database goes, and no probe has the consumer restarted
            proxy.refuse()
            proxy.cut()
            deployed.produce_events(made_events(50, 20, seed=2, start=1_000_000))
            one.becomes("readinessProbe", 503)
            assert one.probe("livenessProbe") == 200
            proxy.heal()
            one.becomes("readinessProbe", 200)
            deployed.caught_up()

            with rehearsal.running(console) as page:
                page.starts()
                address = f"http://127.0.0.1:{page.port}"
                assert (page.probe("readinessProbe"), page.probe("livenessProbe")) == (200, 200)
                assert (ask(f"{address}/api/overview")[0], ask(f"{address}/metrics")[0]) == (401, 401)
                for path in ("overview", "jobs", "dead-letters"):
                    _answers(f"{address}/api/{path}")
                page.process.terminate()
                assert page.process.wait(console["terminationGracePeriodSeconds"]) == 0

            # a stop within the grace period leaves what is written committed
            one.process.terminate()
            assert one.process.wait(consumer["terminationGracePeriodSeconds"]) == 0
        assert deployed.committed() == deployed.ends()
        deployed.assert_exact()


@pytest.mark.long
def test_the_rendered_chart_works_with_certificates_on_both_sides_of_both_connections(tmp_path: Path) -> None:
    rendered = objects((GOLDEN / "mutual-tls.yaml").read_text("utf-8"))
    (tmp_path / "authority").mkdir()
    authority = Authority(tmp_path / "authority")
    broker = with_tls(authority, tmp_path, "SSL", {"ssl.client.auth": "required"})
    own = {name: authority.sign(name) for name in ("setup", "consumer", "console", "database")}
    pairs = {
        f"jobstatus-{name}-tls": {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
        for name, pair in own.items()
    }
    trusted = {"ca.crt": authority.certificate.read_text()}
    with started("a real Apache Kafka", broker), postgres_with_tls(authority.sign("server")) as url:
        with psycopg.connect(f"{url}?sslmode=require", autocommit=True) as administrator:
            renew(administrator, authority.sign("server"), authority.certificate)
        files = {
            **pairs,
            "kafka-ca": trusted,
            "database-ca": trusted,
            "jobstatus-database": {"url": url},
            "jobstatus-console": {"url": url},
        }
        here = {"kafka:9093": broker.bootstrap_servers}
        rehearsal = Rehearsal(tmp_path, files, here)
        rehearsal.to_the_end(pod_of(named(rendered, "Job", "setup")))
        with (
            rehearsal.running(pod_of(named(rendered, "Deployment", "consumer"))) as consumer,
            rehearsal.running(pod_of(named(rendered, "Deployment", "console"))) as console,
        ):
            consumer.starts()
            consumer.becomes("readinessProbe", 200)
            assert rehearsal.to_the_end(pod_of(named(rendered, "Pod", "test")))[-1].startswith("all is ready")
            console.starts()
            assert ask(f"http://127.0.0.1:{console.port}/api/overview")[0] == 401
            for container in (consumer, console):
                container.process.terminate()
                assert container.process.wait(30) == 0
