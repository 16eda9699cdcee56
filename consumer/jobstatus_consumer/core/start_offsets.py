"""Where to go on in a log: what the group committed, held against what the log has and what the database knows.

Pure. A commit says where the group was; the database alone says what it has (a restored backup has less).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.records import Log


class Start(NamedTuple):
    """Where to go on, in which log; `remark` is for the log line, empty where all is as usual."""

    log: Log
    offset: int
    remark: str = ""


class Watermarks(NamedTuple):
    """The log's first offset and the one after its last, as the broker has them."""

    low: int
    high: int


def start_of(
    log: Log, committed: int | None, committed_topic_id: str, bounds: Watermarks, *, accept_loss: bool
) -> Start:
    """Where the group goes on in `log`; a new group starts with the first offset there is.

    Raises `OffsetsLostError` where the log no longer has what comes next, unless `accept_loss`: then it starts with
    what is there, in a new generation, so that its offsets are not taken for the old log's.
    """
    if committed is None:
        return Start(log, bounds.low)
    lost = _loss(log, committed, committed_topic_id, bounds)
    if not lost:
        return Start(log, committed)
    made_again = bool(committed_topic_id) and committed_topic_id != log.topic_id
    # a topic made again is another log already; in the same one, low offsets must not be taken for the old ones
    fresh = log if made_again else log._replace(incarnation=log.incarnation + 1)
    return _accept(lost, fresh, bounds.low, accept_loss=accept_loss)


def _accept(lost: str, fresh: Log, low: int, *, accept_loss: bool) -> Start:
    if accept_loss:
        return Start(fresh, low, f"{lost}; the loss is accepted, going on with offset {low}")
    raise OffsetsLostError(
        f"{lost}. Stopped, and nothing was committed. To accept the loss and go on with the first offset there is "
        f"({low}): --on-lost-offsets earliest"
    )


def _loss(log: Log, committed: int, committed_topic_id: str, bounds: Watermarks) -> str:
    name = f"{log.topic}[{log.partition}]"
    if committed_topic_id and committed_topic_id != log.topic_id:
        return (
            f"the topic of {name} was made again: the group committed offset {committed} of topic id "
            f"{committed_topic_id}, and the topic's id is {log.topic_id} now"
        )
    if committed > bounds.high:
        return f"{name} was truncated: the group committed offset {committed}, and the log ends at {bounds.high}"
    if committed < bounds.low:
        return (
            f"retention ran ahead in {name}: the group committed offset {committed}, and the log begins at "
            f"{bounds.low}; {bounds.low - committed} offsets were never read"
        )
    return ""


def unknown_log(log: Log, known: Mapping[str, int], low: int, *, accept_loss: bool) -> None:
    """Look whether a log of which the group has committed nothing follows one that was deleted.

    With a topic the broker deletes its commits: then only the database remembers that there was another one. Raises
    `OffsetsLostError` naming it, unless `accept_loss`.
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
    """`log`, or the highest generation of it that the database knows; `fresh`: one that it does not know yet.

    A group's offsets may be set by a tool that says nothing of generations; rows of the newest one are there all the
    same, and events taken for an older log's would be judged by their times instead of by their offsets.
    """
    same = [other for other in _logs(known) if other._replace(incarnation=log.incarnation) == log]
    newest = max([log, *same])
    return newest._replace(incarnation=newest.incarnation + 1) if fresh and newest in same else newest


def _logs(known: Mapping[str, int]) -> Iterator[Log]:
    for log_id in known:
        # one that no log of ours is called says nothing of ours
        with suppress(ValueError, TypeError):
            yield Log.parse(log_id)


def rewind_to(log: Log, position: int, low: int, known: int | None, *, accept_loss: bool) -> Start | None:
    """Where to seek back to, because the database knows less than `position` (up to where all should be written).

    `known`: the next offset by the database's own progress table, None where it has none for this log. The result is
    None where nothing is missing. Where what is missing is no longer in the log it is a loss, as in `start_of`.
    """
    name = f"{log.topic}[{log.partition}]"
    if known is not None and known >= position:
        return None
    if known is None:
        if position <= low:
            return None
        return Start(log, low, f"the database knows nothing of {name}, though offset {position} comes next")
    remark = f"the database knows {name} up to offset {known} only, though {position} comes next"
    if known >= low:
        return Start(log, known, remark)
    lost = f"{remark} (was it restored, or failed over?), and the log begins at {low}"
    return _accept(lost, log._replace(incarnation=log.incarnation + 1), low, accept_loss=accept_loss)
