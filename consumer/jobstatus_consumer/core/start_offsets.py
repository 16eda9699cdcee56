"""The offset to start with in a log, from the group's commit, the log's watermarks and the database's progress.

The commit says how far the group was. Only the database says what it holds: a restored backup holds less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.records import NO_EPOCH, Log


class StartOffset(NamedTuple):
    """The log and the offset to start with. `remark` is for the log line; it is empty in the usual case.

    `epoch` is the leader epoch of the record before the offset. With it the broker says whether the log has lost it.
    """

    log: Log
    offset: int
    remark: str = ""
    epoch: int = NO_EPOCH


class Watermarks(NamedTuple):
    """The log's first offset and the offset after its last one, as the broker says."""

    low: int
    high: int


def start_of(
    log: Log,
    committed: int | None,
    committed_topic_id: str,
    watermarks: Watermarks,
    *,
    accept_loss: bool,
    epoch: int = NO_EPOCH,
) -> StartOffset:
    """Where the group starts in `log`. Without a commit it starts with the first offset there is.

    Raises `OffsetsLostError` if the log no longer holds the committed offset. With `accept_loss` the group starts with
    the first offset that the log holds instead. The log then has a new incarnation, so that its offsets are not
    compared with those of the rows that were written before the loss. A log that ends before a commit with a leader
    `epoch` is no loss yet: the broker says where the log was cut, and the group continues there.
    """
    if committed is None:
        return StartOffset(log, watermarks.low)
    end = watermarks.high if epoch == NO_EPOCH else max(watermarks.high, committed)
    lost = _loss(log, committed, committed_topic_id, watermarks._replace(high=end))
    if not lost:
        return StartOffset(log, committed, epoch=epoch)
    made_again = bool(committed_topic_id) and committed_topic_id != log.topic_id
    # a topic that was made again has another topic id, and so is another log already
    fresh = log if made_again else log._replace(incarnation=log.incarnation + 1)
    return _accept(lost, fresh, watermarks.low, accept_loss=accept_loss)


def _accept(lost: str, fresh: Log, low: int, *, accept_loss: bool) -> StartOffset:
    if accept_loss:
        return StartOffset(fresh, low, f"{lost}; the loss is accepted, going on with offset {low}")
    raise OffsetsLostError(
        f"{lost}. Stopped, and nothing was committed. To accept the loss and go on with the first offset there is "
        f"({low}): --on-lost-offsets earliest"
    )


def _loss(log: Log, committed: int, committed_topic_id: str, watermarks: Watermarks) -> str:
    name = f"{log.topic}[{log.partition}]"
    if committed_topic_id and committed_topic_id != log.topic_id:
        return (
            f"the topic of {name} was made again: the group committed offset {committed} of topic id "
            f"{committed_topic_id}, and the topic's id is {log.topic_id} now"
        )
    if committed > watermarks.high:
        return f"{name} was truncated: the group committed offset {committed}, and the log ends at {watermarks.high}"
    if committed < watermarks.low:
        return (
            f"retention ran ahead in {name}: the group committed offset {committed}, and the log begins at "
            f"{watermarks.low}; {watermarks.low - committed} offsets were never read"
        )
    return ""


def after_the_cut(log: Log, read: int, end: int, epoch: int) -> StartOffset:
    """Where to continue in a log that was read up to `read`, in `epoch`, and that lost what it had from `end` on.

    From there on it is another log, with the next incarnation: its offsets must not be compared with those of the rows
    that were made of the lost records.
    """
    fresh = log._replace(incarnation=log.incarnation + 1)
    remark = (
        f"{log.topic}[{log.partition}] lost its tail: it was read up to offset {read}, and from offset {end} on it has "
        f"other records now. The rows that were made of the lost ones stay; jobstatus verify names them. Continuing "
        f"with offset {end}, as {fresh.id}"
    )
    return StartOffset(fresh, end, remark, epoch)


def unknown_log(log: Log, known: Mapping[str, int], low: int, *, accept_loss: bool) -> None:
    """Refuse a log without a commit whose topic was deleted and made again.

    The broker deletes the commits together with a topic, so only the database still knows of the old log. Raises
    `OffsetsLostError`, which names the old topic id and offset, unless `accept_loss`.
    """
    if log.id in known or accept_loss:
        return
    for other in _logs(known):
        if other.partition == log.partition and other.topic_id != log.topic_id:
            name = f"{log.topic}[{log.partition}]"
            _accept(
                f"the topic of {name} was made again: the database knows offset {known[other.id]} of topic id "
                f"{other.topic_id}, and the topic's id is {log.topic_id} now; what the old one held after that offset "
                "was never written",
                log,
                low,
                accept_loss=False,
            )


def newest_log(log: Log, known: Mapping[str, int], *, fresh: bool = False) -> Log:
    """`log` with the highest incarnation that the database knows; with `fresh`, the one after it.

    Another tool may set the group's offsets without an incarnation. The rows of the newest incarnation are in the table
    nevertheless. Events that came in as those of an older one would be compared by time instead of by offset.
    """
    same = [other for other in _logs(known) if other._replace(incarnation=log.incarnation) == log]
    newest = max([log, *same])
    return newest._replace(incarnation=newest.incarnation + 1) if fresh and newest in same else newest


def _logs(known: Mapping[str, int]) -> Iterator[Log]:
    for log_id in known:
        # an id that is not in our form is not one of our logs
        with suppress(ValueError, TypeError):
            yield Log.parse(log_id)


def rewind_to(log: Log, position: int, low: int, known: int | None, *, accept_loss: bool) -> StartOffset | None:
    """Where to seek back to if the database lacks events before `position`; None if it lacks nothing.

    `position` is the offset up to which everything was written. `known` is the next offset in the database's progress
    table, None if the table does not list this log. If the log no longer holds what the database lacks, it is a loss:
    `OffsetsLostError`, or with `accept_loss` a new incarnation, as in `start_of`.
    """
    name = f"{log.topic}[{log.partition}]"
    if known is not None and known >= position:
        return None
    if known is None:
        if position <= low:
            return None
        return StartOffset(log, low, f"the database knows nothing of {name}, though offset {position} comes next")
    remark = f"the database knows {name} up to offset {known} only, though {position} comes next"
    if known >= low:
        return StartOffset(log, known, remark)
    lost = f"{remark} (was it restored, or failed over?), and the log begins at {low}"
    return _accept(lost, log._replace(incarnation=log.incarnation + 1), low, accept_loss=accept_loss)
