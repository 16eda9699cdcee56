"""What each principal may do on the broker, from the settings: what `check` looks for, and what `acls` prints."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import BrokerError
from jobstatus_consumer.kafka.client import broker_error, error_of
from jobstatus_consumer.kafka.commits import checkpoint_group
from jobstatus_consumer.kafka.error_codes import NOT_ALLOWED

SOMEBODY: Final = "User:..."


class Right(NamedTuple):
    """Operations on a topic or a group, by the names of Kafka's protocol, such as `DESCRIBE_CONFIGS`."""

    kind: str
    """`topic` or `group`, as kafka-acls.sh calls it"""
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False
    """whether it is for every name that begins with `name`"""

    def __str__(self) -> str:
        return f"{', '.join(self.operations)} on the {self.kind} {self.name}{'*' if self.prefixed else ''}"

    def arguments(self, principal: str = SOMEBODY) -> list[str]:
        """The arguments with which kafka-acls.sh gives it."""
        spelled = [name.title().replace("_", "") for name in self.operations]
        operations = [word for name in spelled for word in ("--operation", name)]
        pattern = ["--resource-pattern-type", "prefixed"] if self.prefixed else []
        return ["--add", "--allow-principal", principal, *operations, f"--{self.kind}", self.name, *pattern]

    @classmethod
    def on_topic(cls, name: str, *operations: str) -> Right:
        """Return the right to do this with a topic."""
        return cls("topic", name, operations)

    @classmethod
    def on_group(cls, name: str, *operations: str) -> Right:
        """Return the right to do this with a group."""
        return cls("group", name, operations)

    @property
    def remedy(self) -> str:
        """The command that gives it, without the address of a broker."""
        return f"kafka-acls.sh {' '.join(map(_quoted, self.arguments()))}"


def _quoted(word: str) -> str:
    return word if word == SOMEBODY else shlex.quote(word)


def _topic(settings: Settings, *operations: str) -> Right:
    return Right.on_topic(settings.topic, *operations)


def _letters(settings: Settings, *operations: str) -> Right:
    return Right.on_topic(settings.dead_letter_topic, *operations)


def _group(settings: Settings, *operations: str) -> Right:
    return Right.on_group(settings.group_id, *operations)


def right_to_read(error: KafkaError, topic: str, group: str) -> Right:
    """Return what a reader of the topic lacks when the broker answers with `error`."""
    of_group = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
    return Right.on_group(group, "READ") if of_group else Right.on_topic(topic, "READ")


def refusal(doing: str, error: KafkaException | KafkaError, right: Right) -> BrokerError:
    """Return our error for one of the library; it names `right` where the broker does not allow what was done."""
    inner = error_of(error) if isinstance(error, KafkaException) else error
    if inner is None or inner.code() not in NOT_ALLOWED:
        return broker_error(doing, error)
    return BrokerError(
        f"{doing}: this client has no right {right} ({inner.name()}). Give it: {right.remedy}; "
        "jobstatus acls prints all that each client needs"
    )


@contextmanager
def needing(right: Right, doing: str) -> Iterator[None]:
    """Raise `BrokerError`, which names `right`, where the broker does not allow what the block does."""
    try:
        yield
    except KafkaException as error:
        inner = error_of(error)
        if inner is None or inner.code() not in NOT_ALLOWED:
            raise
        error.__traceback__ = None
        raise refusal(doing, error, right) from None


class Principal(NamedTuple):
    """What one kind of client of the broker needs."""

    purpose: str
    rights: Callable[[Settings], tuple[Right, ...]]


def consumer_rights(settings: Settings) -> tuple[Right, ...]:
    """Return what a consumer needs. `READ` on a topic or a group includes `DESCRIBE`; so do `WRITE` and `ALTER`."""
    return (
        _topic(settings, "READ", "DESCRIBE_CONFIGS"),
        _letters(settings, "WRITE", "DESCRIBE_CONFIGS"),
        _group(settings, "READ"),
    )


PRINCIPALS: Final[Mapping[str, Principal]] = {
    "topics": Principal(
        "creates the topics, and adds partitions",
        lambda settings: (
            _topic(settings, "CREATE", "ALTER", "DESCRIBE_CONFIGS"),
            _letters(settings, "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS"),
        ),
    ),
    "producer": Principal("reports statuses", lambda settings: (_topic(settings, "WRITE"),)),
    "consumer": Principal("reads the topic, sends dead letters", consumer_rights),
    "operator": Principal(
        "reads both topics, moves offsets, removes dead letters",
        lambda settings: (
            _topic(settings, "READ", "DESCRIBE_CONFIGS"),
            _letters(settings, "READ", "DESCRIBE_CONFIGS", "DELETE"),
            _group(settings, "READ"),
            Right("group", checkpoint_group(settings.group_id, ""), ("READ",), prefixed=True),
        ),
    ),
    "console": Principal(
        "shows both topics and the group, and changes nothing",
        lambda settings: (
            _topic(settings, "READ", "DESCRIBE_CONFIGS"),
            _letters(settings, "READ", "DESCRIBE_CONFIGS"),
            _group(settings, "DESCRIBE"),
        ),
    ),
}
"""By name. A console that may change something needs the principal `operator`."""


def acl_commands(settings: Settings, wanted: str, principal: str, *, config: str = "") -> list[str]:
    """Return the lines with which a shell gives `principal` these rights; `config` is kafka-acls.sh's --command-config.

    Raises `SettingsError` if the brokers are not set.
    """
    start = ["kafka-acls.sh", "--bootstrap-server", settings.bootstrap_servers]
    start += ["--command-config", config] if config else []
    rights = PRINCIPALS[wanted].rights(settings)
    return [shlex.join([*start, *right.arguments(principal)]) for right in rights]
