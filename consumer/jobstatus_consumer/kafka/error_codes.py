"""Kafka's error codes, sorted by what the caller does. A code decides, never the text of an error.

Positive codes come from the broker. Negative codes (their names begin with `_`) are made by the client's library.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

STOP: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
        # a member with KIP-848 reports only this code when the broker refuses it, and then does nothing more
        KafkaError._FATAL,
    }
)
"""Stop the client: the broker refuses it, and will refuse it again. See `is_final`."""

REFUSED_LOGIN: Final = frozenset({KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION})
"""Say in the message why there is no token, if there is none: the login was refused."""

NOT_ALLOWED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""Name the right that the client lacks. For a producer without the right to write the last one comes first."""

ASK_AGAIN: Final = frozenset(
    {
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
"""Ask the same question again: the broker is starting, or its role is moving to another one. See `may_pass`."""

DO_NOT_ASK_AGAIN: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._CRIT_SYS_RESOURCE,
        KafkaError._FATAL,
        KafkaError._FENCED,
        KafkaError._INVALID_ARG,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError._SSL,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)
"""Report the error at once: these are the client's own codes that do not pass. Its other codes pass: there is no
connection now, or a broker that has just started knows too little, or the client is replacing its connection."""

REPORT_AS_UNREACHABLE: Final = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN})
"""Name the brokers' addresses in the message: no broker answered."""

TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
"""Send a reference in place of the dead letter: the client or the topic refuses its size."""

STOP_FOR_LOST_OFFSETS: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
"""Stop reading: the log does not hold the offset that comes next."""

STOP_FOR_A_REMOVED_TOPIC: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
"""Stop reading: the topic or the partition that was being read does not exist any more."""

COMMIT_AGAIN_IF_STILL_ASSIGNED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,
        KafkaError._STATE,
    }
)
"""Count the commit as refused: a rebalance is running or done. Harmless, since uncommitted events come again."""

DO_NOT_SEND_AGAIN: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._FATAL,
    }
)
"""Give the dead letter up: the topic refuses it, and would refuse it again."""


def is_final(error: KafkaError) -> bool:
    """Return whether the client must stop, since waiting does not help."""
    return error.fatal() or error.code() in STOP


def may_pass(error: KafkaError) -> bool:
    """Return whether the same question may be answered later."""
    code = error.code()
    return error.retriable() or code in ASK_AGAIN or (code < 0 and code not in DO_NOT_ASK_AGAIN)
