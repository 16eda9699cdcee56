"""One broker for all processes of a test session.

Each xdist worker had a broker of its own before, and together they took a quarter of the session's processor time. The
controller starts the one that all workers use, because it lives as long as the last of them.

`PYTHONPATH=tests python -m support.shared_broker` makes the archive of the brokers' classes, if there is none: `make
test` does so beside the checks, because nothing else can run while a session's first broker starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jobstatus_local.class_archive import ClassArchive
from jobstatus_local.jars import kafka_classpath
from jobstatus_local.kafka import LocalKafka
from support.parts import INTEGRATION, started, stop_if_missing

KEY = "jobstatus_bootstrap_servers"
NEVER_DELETES = dict.fromkeys(("log.retention.check.interval.ms", "log.initial.task.delay.ms"), str(24 * 3600 * 1000))
"""A broker deletes by retention 30 s after its start and every five minutes, and tests write records with old times."""
WITH_RIGHTS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""Everybody may do everything with a topic or a group until a test says otherwise for one of its own."""
STARVED = {"broker.session.timeout.ms": "300000"}
"""On a busy machine its heartbeats may be late; without these the controller would fence the only broker."""
_running: list[tuple[Any, LocalKafka]] = []


def session_broker() -> LocalKafka:
    """The broker of a session, not started."""
    return LocalKafka(properties={**NEVER_DELETES, **WITH_RIGHTS, **STARVED}, archives_classes=True)


class SharedBroker(NamedTuple):
    """The broker that the controller of xdist has started. A test that breaks a broker starts its own."""

    bootstrap_servers: str


def shared_broker(config: pytest.Config) -> SharedBroker | None:
    """The broker of this session, in a worker of xdist; None elsewhere, and where no test needs one."""
    servers = getattr(config, "workerinput", {}).get(KEY)
    return None if servers is None else SharedBroker(servers)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called in the controller for each worker before it starts."""
    paths = [Path(argument.split("::")[0]).resolve() for argument in node.config.args]
    if not any(INTEGRATION in (path, *path.parents) or path in INTEGRATION.parents for path in paths):
        return
    if not _running:
        with stop_if_missing():
            context = started("a real Apache Kafka", session_broker())
            _running.append((context, context.__enter__()))
    node.workerinput[KEY] = _running[0][1].bootstrap_servers


def pytest_sessionfinish() -> None:
    """Stop the broker, in the process that started it."""
    while _running:
        context, _ = _running.pop()
        context.__exit__(None, None, None)


def make_archive() -> None:
    """Start a broker that makes the archive, unless there is one. Blocks for some fifteen seconds."""
    broker = session_broker()
    if not ClassArchive(broker.java, kafka_classpath(), Path()).path.exists():
        broker.start()
        broker.close()


if __name__ == "__main__":
    make_archive()
