"""What tests change in a topic or a group as an administrator does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from support.waiting import until

NEW: Final = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC)
"""What a client says of a partition without a leader, or of one that it has not heard of yet."""


def end_offset(client: Consumer, topic: str, partition: int) -> int:
    """The end of a log; asked again, for 20 s at most, while the topic is new."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return int(client.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1])
        except KafkaException as error:
            if error.args[0].code() not in NEW or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def alter_topic(bootstrap: str, topic: str, name: str, value: str) -> None:
    """Set one property of a topic, and wait until the broker has it."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    resource.incremental_configs = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(60)
    asked = ConfigResource(ResourceType.TOPIC, topic)
    # the controller acknowledges a change before the broker applies it
    until(lambda: admin.describe_configs([asked])[asked].result(60)[name].value == value, f"{name} is {value}")


def remove_records(bootstrap: str, topic: str, ends: Mapping[int, int]) -> None:
    """Remove every record before these offsets, as retention does."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.delete_records([TopicPartition(topic, *item) for item in ends.items() if item[1]]).values():
        done.result(60)


def only_allowed(
    admin: AdminClient, kind: ResourceType, name: str, operation: AclOperation, user: str = "ANONYMOUS"
) -> None:
    """Let this user do this with it, and nobody anything else; clients without a name are ANONYMOUS."""
    pattern, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    acl = AclBinding(kind, name, pattern, f"User:{user}", "*", operation, allow)
    for answer in admin.create_acls([acl]).values():
        answer.result(60)
    same = AclBindingFilter(kind, name, pattern, f"User:{user}", "*", operation, allow)
    until(lambda: admin.describe_acls(same).result(60), f"the broker has the ACL of {user} on {name}")
