"""The metadata of a commit: ours is read back whole, and another tool's is read as if there were none."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from jobstatus_consumer.core.dead_letter_budget import BudgetState
from jobstatus_consumer.kafka.commits import (
    CommitCounts,
    CommittedOffset,
    checkpoint_fields,
    checkpoint_metadata,
    commit_metadata,
    read_commit,
)
from jobstatus_consumer.records import Log

FOREIGN = [
    "",
    "no JSON",
    "7",
    "[]",
    '{"generation": "many"}',
    '{"generation": null}',
    '{"generation": 1e999}',
    '{"generation": NaN}',
    '{"dlq": [1e999]}',
    '{"dlq": 7}',
    '{"dlq": [1, 2, 3, 4, 5, 6, 7, 8, 9]}',
    "[" * 4096,
]


def commit(metadata: str, offset: int = 7) -> TopicPartition:
    return TopicPartition("t", 0, offset, metadata=metadata)


@pytest.mark.parametrize("budget", [BudgetState(), BudgetState(*range(1, len(BudgetState._fields) + 1))])
def test_what_a_member_commits_is_read_back(budget: BudgetState) -> None:
    log = Log("t", "the-id", 0, 3)
    assert read_commit(commit(commit_metadata(log, budget))) == CommittedOffset(7, "the-id", 3, budget)


def test_the_keys_are_those_of_every_version() -> None:
    found = json.loads(commit_metadata(Log("t", "the-id", 0, 3), BudgetState(*([1] * len(BudgetState._fields)))))
    assert set(found) == {"topic_id", "generation", "dlq"}


@pytest.mark.parametrize("metadata", FOREIGN)
def test_metadata_in_another_form_does_not_name_the_log(metadata: str) -> None:
    assert read_commit(commit(metadata)) == CommittedOffset(7)


def test_no_commit_and_an_error_are_told_apart() -> None:
    assert read_commit(commit("", -1001)) == CommittedOffset(None)
    # the library's own class cannot be made with an error
    refused: Any = SimpleNamespace(error=KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        read_commit(refused)


def test_a_checkpoint_is_read_from_the_first_partition_that_has_one() -> None:
    fields = {"topic_id": "the-id", "asked": "0123"}
    kept = commit(checkpoint_metadata(fields))
    assert checkpoint_fields([*(commit(text) for text in FOREIGN if not text.startswith("{")), kept]) == fields
    assert checkpoint_fields([commit("")]) == {}


def test_a_commit_that_a_rebalance_refuses_has_not_failed() -> None:
    ends: list[str] = []
    counts = CommitCounts(ends.append)
    counts.succeeded()
    counts.failed_with(KafkaError(KafkaError.ILLEGAL_GENERATION))
    counts.failed_with(KafkaError(KafkaError._TIMED_OUT))
    counts.failed_with(None)
    assert ends == ["committed", "refused", "failed", "failed"]
