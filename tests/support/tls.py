"""Brokers whose clients connect with TLS, deployments on them, and certificates that are replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.kafka.client import TLS_ADDRESS
from jobstatus_local.kafka import Advertised, LocalKafka
from support.certificates import Authority, Certificate
from support.deployment import Deployment, deployment
from support.inside import run_inside
from support.secured import inside
from support.shared_broker import NEVER_DELETES, STARVED
from support.waiting import until

PREFIX = "listener.name.client."


def with_tls(
    authority: Authority, folder: Path, protocol: str, more: Mapping[str, str], advertised: Advertised | None = None
) -> LocalKafka:
    """A broker whose clients connect with TLS; its files are PEM. `more` are properties of that listener."""
    keystore = folder / "broker.pem"
    keystore.write_text(authority.sign("broker").together)
    properties = {
        "listener.security.protocol.map": f"CLIENT:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        f"{PREFIX}ssl.keystore.type": "PEM",
        f"{PREFIX}ssl.keystore.location": str(keystore),
        f"{PREFIX}ssl.truststore.type": "PEM",
        f"{PREFIX}ssl.truststore.location": str(authority.certificate),
        **{f"{PREFIX}{name}": value for name, value in more.items()},
    }
    return LocalKafka(properties={**NEVER_DELETES, **STARVED, **properties}, advertised=advertised)


@contextmanager
def secured(server: LocalKafka, url: str, folder: Path, **kafka: str) -> Iterator[Deployment]:
    """A deployment whose commands connect as `kafka` says; the test itself uses the listener that asks for nothing."""
    with deployment(inside(server), url, folder) as found:
        found.more |= {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": server.bootstrap_servers}
        found.more |= {f"JOBSTATUS_KAFKA_{name.upper()}": value for name, value in kafka.items()}
        yield found


def produces_drains_and_checks(deployed: Deployment) -> None:
    assert run_inside(deployed, "check").stdout.startswith("all is ready")
    for number in range(5):
        run_inside(deployed, "emit", "--job-id", f"job-{number}", "--status", "done")
    deployed.drain()
    deployed.assert_exact()
    assert len(deployed.rows()) == 5
    run_inside(deployed, "verify")


def refusal(deployed: Deployment, **environ: str) -> str:
    """What a command says of the broker once it has heard why; it has two seconds at a time instead of half a minute.

    A busy broker may take longer than that for its part of the handshake.
    """
    topics = Topics(load_settings({**deployed.variables, **environ}))

    def said() -> str:
        with pytest.raises(BrokerAwayError) as raised:
            topics.reach(2.0)
        text = str(raised.value)
        return text if TLS_ADDRESS in text else ""

    return until(said, "the broker's refusal is known")


def reconfigure(server: LocalKafka, values: Mapping[str, str]) -> None:
    """Change the broker's properties of the listener for clients while it runs. It reads the named files again."""
    entries = [
        ConfigEntry(f"{PREFIX}{name}", value, incremental_operation=AlterConfigOpType.SET)
        for name, value in values.items()
    ]
    admin = AdminClient({"bootstrap.servers": inside(server)})
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


class Mounted:
    """A folder as a volume of Kubernetes: its files are links, and all of them change at one moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0
        self.authorities, self.certificate, self.key = (folder / name for name in ("ca.crt", "tls.crt", "tls.key"))

    def replace(self, own: Certificate, authorities: Sequence[Authority]) -> None:
        """Put other files in the place of all three."""
        self._version += 1
        content = self._folder / f"..{self._version}"
        content.mkdir(parents=True)
        (content / "ca.crt").write_text("".join(item.certificate.read_text() for item in authorities))
        shutil.copy(own.certificate, content / "tls.crt")
        shutil.copy(own.key, content / "tls.key")
        data, new = self._folder / "..data", self._folder / "..new"
        (content / "tls.key").chmod(0o600)
        new.symlink_to(content.name)
        os.replace(new, data)
        for path in (self.authorities, self.certificate, self.key):
            if not path.is_symlink():
                path.symlink_to(Path("..data") / path.name)

    @property
    def settings(self) -> dict[str, str]:
        """What a deployment sets to use them."""
        return {
            "security_protocol": "SSL",
            "ssl_ca_location": str(self.authorities),
            "ssl_certificate_location": str(self.certificate),
            "ssl_key_location": str(self.key),
        }
