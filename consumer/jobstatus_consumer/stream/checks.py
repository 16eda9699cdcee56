"""What `check` finds beside the topics and the tables: rights, a topic made again, a used-up budget, an address."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Collection, Iterator
from functools import partial
from typing import Final

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import used_up
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, StoreError
from jobstatus_consumer.kafka import CommittedOffset, Topics, commits, consumer_rights, denied, protocol
from jobstatus_consumer.store import Problem, Table
from jobstatus_consumer.telemetry.http import address_family
from jobstatus_consumer.words import counted

PROBE_SECONDS: Final = 1.0
PROTOCOLS: Final = "group.coordinator.rebalance.protocols"
"""The property of a broker that lists the protocols of groups; Kafka has it since 3.7."""
CLASSIC: Final = "group.initial.rebalance.delay.ms"
"""A property that every broker has which shows its properties."""
COOPERATIVE: Final = "cooperative-sticky"


def missing_rights(settings: Settings, topics: Topics) -> Iterator[Problem]:
    """Yield what the broker does not let this client do and a consumer must do. Blocks; raises `BrokerAwayError`."""
    for right in consumer_rights(settings):
        ask = topics.operations_on_topic if right.kind == "topic" else topics.operations_on_group
        missing, _ = denied(partial(ask, right.name), right.operations)
        if missing:
            lacking = right._replace(operations=tuple(missing))
            yield Problem(f"this client has no right {lacking}", lacking.remedy)


def unknown_protocol(settings: Settings, topics: Topics) -> Iterator[Problem]:
    """Yield that the brokers lack the group protocol that was chosen: a consumer would wait for its group unheard.

    Nothing is known where this client may not ask for a broker's properties. Blocks; raises `BrokerAwayError`.
    """
    if protocol(settings.kafka) != "consumer":
        return
    try:
        found = topics.broker_properties(PROTOCOLS, CLASSIC)
    except BrokerAwayError:
        raise
    except BrokerError:
        return
    # a service that shows neither property may have the protocol
    offered = found.get(PROTOCOLS, "classic" if CLASSIC in found else "consumer")
    if "consumer" not in offered.split(","):
        yield Problem(
            "the brokers do not offer group.protocol=consumer (KIP-848), which Kafka 4.0 and newer have",
            f"unset JOBSTATUS_KAFKA_GROUP_PROTOCOL, or on Kafka 3.7 to 3.9 set {PROTOCOLS}=classic,consumer",
        )


def group_of_the_other_protocol(settings: Settings, topics: Topics) -> Iterator[Problem]:
    """Yield that running members keep this consumer out, because it has `group.protocol=consumer` and they do not.

    A broker takes over members of the classic protocol, but not with `cooperative-sticky`: librdkafka then sends data
    of its own, which the broker would lose. Nothing is known where this client may not describe the group. Blocks;
    raises `BrokerAwayError`.
    """
    if protocol(settings.kafka) != "consumer":
        return
    try:
        found = topics.group_facts(settings.group_id)
    except BrokerAwayError:
        raise
    except BrokerError:
        return
    if found.members and found.assignor == COOPERATIVE:
        yield Problem(
            f"the group {settings.group_id} has {counted(len(found.members), 'member')} with group.protocol=classic "
            f"and {COOPERATIVE}, which no member with group.protocol=consumer can join",
            "stop all its consumers, and start them again with the same JOBSTATUS_KAFKA_GROUP_PROTOCOL",
            may_pass=True,
        )


def used_up_budget(settings: Settings, committed: Collection[CommittedOffset]) -> Iterator[Problem]:
    """Yield the used-up budget of dead letters, with which a consumer stops at its start."""
    used = used_up(settings, (commit.budget for commit in committed))
    if used:
        yield Problem(
            f"the budget of dead letters is used up: {used}",
            "jobstatus dlq list shows why; fix the cause, then: jobstatus dlq budget clear",
        )


def made_again(settings: Settings, topics: Topics, committed: Collection[CommittedOffset]) -> Iterator[Problem]:
    """Yield that the topic was made again since it was read, with which a consumer stops at its start. Blocks.

    A broker deletes a group's commits together with the topic, so the database's progress is asked as well.
    """
    topic_id = topics.topic_id(settings.topic)
    read = {item.topic_id for item in committed if item.topic_id} or _topic_ids_in_the_database(settings)
    if read and topic_id not in read:
        yield Problem(
            f"the topic {settings.topic} was made again since it was read: its id was {min(read)}, and is {topic_id}",
            "what the old one still held is lost; to read the new one, start once with --on-lost-offsets earliest",
        )


def _topic_ids_in_the_database(settings: Settings) -> set[str]:
    try:
        with Table(settings.database, settings.table) as table:
            known = table.progress()
    except StoreError:
        return set()  # the checks of the database report it
    logs = (log_id.split("/") for log_id in known)
    return {topic_id for topic, topic_id, *_ in logs if topic == settings.topic}


def taken_address(address: str) -> Iterator[Problem]:
    """Yield why metrics and health cannot be served at `address`; nothing if a running consumer serves them there."""
    if address == "off":
        return
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = address_family(host)
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
    except OSError as error:
        if not _is_a_consumer(host, int(port)):
            yield Problem(
                f"metrics and health cannot be served at {address}: {error.strerror or error}",
                "set JOBSTATUS_HTTP_ADDRESS to a free address of this machine, or to off",
            )


def _is_a_consumer(host: str, port: int) -> bool:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    client = http.client.HTTPConnection(reachable, port, timeout=PROBE_SECONDS)
    try:
        client.request("GET", "/livez")
        return "writer_alive" in json.loads(client.getresponse().read(10_000))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        client.close()


def further_problems(settings: Settings, topics: Topics) -> list[Problem]:
    """Return what is wrong with rights and budget where both topics are there. Blocks; raises `BrokerError`."""
    if missing := list(missing_rights(settings, topics)):
        return missing  # without its rights the client cannot read what the group has committed
    committed = commits(settings, topics).values()
    return [*made_again(settings, topics, committed), *used_up_budget(settings, committed)]
