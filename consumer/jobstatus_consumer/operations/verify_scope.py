"""What `verify` compares: which stretch of the log, and how its rows are to be judged."""

from __future__ import annotations

import time
from collections.abc import Mapping

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.kafka import CommittedOffset, RangeReader, Topics, commits
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import EventFilter, Scope, current_logs, find, lost_tails
from jobstatus_consumer.operations.verify import time_limit
from jobstatus_consumer.records import Log
from jobstatus_consumer.store import Table


def verify_scope(
    settings: Settings,
    topics: Topics,
    reader: RangeReader,
    table: Table,
    first: str = "beginning",
    last: str | None = None,
    jobs: frozenset[str] = frozenset(),
) -> Scope:
    """The ranges to compare. Their ends are fixed before any row is read, so all before them is written by then.

    Without `last` they end where the group has written. Blocks; raises `SettingsError`, `BrokerError` and StoreError's
    kinds.
    """
    committed = commits(settings, topics)
    found = find(reader, first, last or "now")
    known = table.progress()
    logs = current_logs(reader, committed, known)
    ranges, remarks = list(found.ranges), list(found.remarks)
    if last is None:
        ranges = [_written(item, logs[item.partition], committed, known) for item in ranges]
        waiting = sum(item.end for item in found.ranges) - sum(item.end for item in ranges)
        if waiting > 0:
            who = f"the group {settings.group_id} has not written them yet"
            remarks.append(f"{waiting} offsets are not judged: {who} (--to now judges them too)")
    cuts = lost_tails(logs.values(), table.first_offsets())
    return Scope(reader.topic, ranges, logs, EventFilter(jobs=jobs), decoder_of(settings), remarks, cuts)


def latest_time(topics: Topics, topic: str) -> int:
    """The time from which on a row's time is too late to be an event's: see `time_limit`. Asks the broker."""
    facts = topics.describe(topic)
    append_time = facts is not None and facts.config.get("message.timestamp.type") == "LogAppendTime"
    return time_limit(append_time, time.time())


def _written(
    item: OffsetRange, log: Log, committed: Mapping[int, CommittedOffset], known: Mapping[str, int]
) -> OffsetRange:
    """The range up to what the group has written; empty if neither the group nor the table knows the log."""
    commit = committed.get(item.partition, CommittedOffset())
    end = commit.offset if commit.topic_id in (log.topic_id, "") else None
    if end is None:
        end = known.get(log.id, item.start)
    return item._replace(end=max(item.start, min(item.end, end)))
