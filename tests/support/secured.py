"""A broker with users and ACLs, and users of the database: what a deployment with least privilege runs on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from jobstatus_consumer.kafka import Right
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import LOOPBACK
from support.waiting import until

USER: Final = "tried"
PASSWORD: Final = "of-the-tests"
_USERS: Final = (USER, "topics", "producer", "consumer", "operator", "console")
BROKER: Final = {
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "listener.name.client.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.client.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        + " ".join(f'user_{name}="{PASSWORD}"' for name in _USERS)
        + ";"
    ),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # a client of the listener INTERNAL has no name
    "super.users": "User:ANONYMOUS",
}
"""Clients log in, and may do what an ACL allows. On the listener INTERNAL everything is allowed."""


def inside(server: LocalKafka) -> str:
    """The address at which everything is allowed."""
    return f"{LOOPBACK}:{server.nodes[0].address.internal_port}"


def login(user: str) -> dict[str, str]:
    """The settings with which a command logs in."""
    return {
        "JOBSTATUS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "JOBSTATUS_KAFKA_SASL_MECHANISM": "PLAIN",
        "JOBSTATUS_KAFKA_SASL_USERNAME": user,
        "JOBSTATUS_KAFKA_SASL_PASSWORD": PASSWORD,
    }


@dataclass
class Acls:
    """The ACLs of the broker, through its administrator."""

    admin: AdminClient
    _given: dict[str, set[Right]] = field(default_factory=dict)

    def give(self, user: str, rights: Iterable[Right]) -> None:
        """Let `user` do exactly this."""
        wanted = {right._replace(operations=(name,)) for right in rights for name in right.operations}
        found = self._given.get(user, set())
        if new := [_binding(user, right) for right in wanted - found]:
            _wait(self.admin.create_acls(new))
        if old := [_filter(user, right) for right in found - wanted]:
            _wait(self.admin.delete_acls(old))
        self._given[user] = wanted
        until(lambda: self._applied(user, len(wanted)), f"the broker has the ACLs of {user}", every=0.02)

    def forget(self, user: str) -> None:
        """Let `user` do nothing, also what another program has allowed."""
        _wait(self.admin.delete_acls([_everything(user)]))
        self._given.pop(user, None)
        until(lambda: self._applied(user, 0), f"the broker has no ACLs of {user}", every=0.02)

    def _applied(self, user: str, count: int) -> bool:
        """The controller acknowledges a change before the broker applies it."""
        return len(self.admin.describe_acls(_everything(user)).result(30)) == count


def _everything(user: str) -> AclBindingFilter:
    name: Any = None  # the stubs do not know that a filter may leave a name out
    pattern, operation = ResourcePatternType.ANY, AclOperation.ANY
    return AclBindingFilter(ResourceType.ANY, name, pattern, f"User:{user}", name, operation, AclPermissionType.ANY)


def _wait(answers: dict[Any, Any]) -> None:
    for answer in answers.values():
        answer.result(30)


def _parts(user: str, right: Right) -> tuple[Any, ...]:
    pattern = ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL
    (operation,) = right.operations
    kind = ResourceType[right.kind.upper()]
    return kind, right.name, pattern, f"User:{user}", "*", AclOperation[operation], AclPermissionType.ALLOW


def _binding(user: str, right: Right) -> AclBinding:
    return AclBinding(*_parts(user, right))


def _filter(user: str, right: Right) -> AclBindingFilter:
    return AclBindingFilter(*_parts(user, right))
