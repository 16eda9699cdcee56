"""What a group's coordinator is asked, and the usual way to ask it: with a client of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from jobstatus_consumer.kafka.client import ANSWER_SECONDS
from jobstatus_consumer.kafka.coordinator_child import described


class GroupMember(NamedTuple):
    """A member of a consumer group: its client's id, its host, and the partitions of the topic that it has."""

    client_id: str
    host: str
    partitions: Sequence[int]


class GroupFacts(NamedTuple):
    """A consumer group: its state as the broker calls it (`STABLE`, `EMPTY`, `DEAD`, ...), and its members.

    `operations` is what this client may do with the group, such as `READ`; None if that was not asked, or not answered.
    """

    state: str
    members: Sequence[GroupMember]
    operations: set[str] | None = None
    assignor: str = ""
    """the strategy by which partitions are assigned, such as `cooperative-sticky`; `uniform` with KIP-848"""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> GroupFacts:
        """From what `described` returns."""
        members = sorted(GroupMember(*item) for item in plain["members"])
        operations = plain["operations"]
        return cls(plain["state"], members, None if operations is None else set(operations), plain["assignor"])


class Coordinator(Protocol):
    """A way to ask the coordinator of a group."""

    def describe(self, group: str, topic: str, *, rights: bool, heard: Callable[[KafkaError], object]) -> GroupFacts:
        """Return the group's facts, with the members' partitions of this topic; with `rights` also what is allowed.

        Blocks; raises `KafkaException` or `TimeoutError` where asking again may help, and `BrokerError`. `heard` is
        called with each error that the client reported meanwhile.
        """


class AskedHere:
    """Asks with the client of the caller, which reports its errors itself.

    librdkafka 2.16 may end the process by an assertion if the connection to the coordinator is lost while it answers.
    So this is for commands that end soon, and for the consumer at its start.
    """

    def __init__(self, client: Callable[[], AdminClient]) -> None:
        self._client = client

    def describe(self, group: str, topic: str, *, rights: bool, heard: Callable[[KafkaError], object]) -> GroupFacts:
        """As `Coordinator.describe`."""
        return GroupFacts.of(described(self._client(), group, topic, rights, ANSWER_SECONDS))
