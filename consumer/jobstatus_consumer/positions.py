"""Where to go on in a log: what the group committed, held against what the log has and what the database knows.

Pure. A commit says where the group was; the database alone says what it has (a restored backup has less).
"""

from __future__ import annotations

from typing import NamedTuple

from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.records import Log


class Start(NamedTuple):
    """Where to begin, in which generation of the log; `remark` is for the log line, empty where all is as usual."""

    offset: int
    generation: int
    remark: str = ""


class Bounds(NamedTuple):
    """The log's first offset and the one after its last, as the broker has them."""

    low: int
    high: int


def start_of(log: Log, committed: int | None, committed_topic_id: str, bounds: Bounds, *, accept_loss: bool) -> Start:
    """Where the group goes on in `log`; a new group starts with the first offset there is.

    Raises `OffsetsLostError` where the log no longer has what comes next, unless `accept_loss`: then it starts with
    what is there, in a new generation, so that its offsets are not taken for the old log's.
    """
    if committed is None:
        return Start(bounds.low, log.generation)
    lost = _loss(log, committed, committed_topic_id, bounds)
    if not lost:
        return Start(committed, log.generation)
    if not accept_loss:
        raise OffsetsLostError(
            f"{lost}. Stopped, and nothing was committed. To accept the loss and go on with the first offset there is "
            f"({bounds.low}): --on-lost-offsets earliest"
        )
    made_again = bool(committed_topic_id) and committed_topic_id != log.topic_id
    generation = 0 if made_again else log.generation + 1
    return Start(bounds.low, generation, f"{lost}; the loss is accepted, going on with offset {bounds.low}")


def _loss(log: Log, committed: int, committed_topic_id: str, bounds: Bounds) -> str:
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


def rewind_to(log: Log, position: int, low: int, known: int | None) -> Start | None:
    """Where to seek back to, because the database knows less than `position` (up to where all should be written).

    `known`: the next offset by the database's own progress table, None where it has none for this log. The result is
    None where nothing is missing. Raises `OffsetsLostError` where what is missing is no longer in the log.
    """
    name = f"{log.topic}[{log.partition}]"
    if known is not None and known >= position:
        return None
    if known is None:
        if position <= low:
            return None
        return Start(low, log.generation, f"the database knows nothing of {name}, though offset {position} comes next")
    if known < low:
        raise OffsetsLostError(
            f"the database knows {name} up to offset {known} only, though {position} comes next (was it restored, or "
            f"failed over?), and the log begins at {low}: {low - known} offsets cannot be written again. Stopped, and "
            "nothing was committed. Restore a newer state of the database; or accept the loss, with this program "
            f"stopped: in the progress table, set next_offset to {low} for this log"
        )
    remark = f"the database knows {name} up to offset {known} only, though {position} comes next"
    return Start(known, log.generation, remark)
