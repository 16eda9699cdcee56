"""The checkpoint of a named replay: offsets in a consumer group of its own, with a mark of the options it had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobstatus_consumer.errors import OffsetsLostError, SettingsError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.ranges import OffsetRange


def mark(reader: RangeReader, **asked: Any) -> dict[str, Any]:
    """The mark in a checkpoint: the topic id, and a digest of the replay's options."""
    text = json.dumps(asked, sort_keys=True, default=sorted)
    return {"topic_id": reader.topic_id, "asked": hashlib.sha256(text.encode()).hexdigest()[:16]}


def done_by(reader: RangeReader, name: str, marked: Mapping[str, Any]) -> Mapping[int, int]:
    """By partition, the offset that the replay of this name needs next; empty if it has not begun.

    Raises `SettingsError` if the checkpoint is of another topic or of other options.
    """
    place = reader.checkpoint()
    if not place.offsets:
        return {}
    if place.fields.get("topic_id") != marked["topic_id"]:
        raise SettingsError(
            f"--name {name}: its place is in another topic than {reader.topic} of id "
            f"{reader.topic_id} (was it made again?); begin with another --name"
        )
    if place.fields.get("asked") != marked["asked"]:
        raise SettingsError(
            f"--name {name}: a replay of this name was begun with another --from, --job-id, --status, --existing-only "
            "or table; give the same ones to go on, or another --name"
        )
    return place.offsets


def refuse_overtaken(reader: RangeReader, name: str, left: Sequence[OffsetRange]) -> None:
    """Raise `OffsetsLostError` if the log no longer has the offsets that come next; it names those that it has."""
    lows = {number: watermarks.low for number, watermarks in reader.watermarks().items()}
    gone = [f"{n}:{start}-{min(end, lows[n])}" for n, start, end in left if start < min(end, lows[n])]
    if gone:
        there = ",".join(f"{n}:{max(start, lows[n])}" for n, start, _ in left)
        raise OffsetsLostError(
            f"--name {name}: retention has removed what comes next at its place and was never written, offsets "
            f"{', '.join(gone[:8])}{', ...' * (len(gone) > 8)}. To go on with what is there, give another --name and "
            f"--from {there}, and the other options as before"
        )


def keeper(reader: RangeReader, marked: Mapping[str, Any]) -> Callable[[Mapping[int, int]], None]:
    """A function that commits the checkpoint; it commits only partitions that have moved."""
    kept: dict[int, int] = {}

    def keep(positions: Mapping[int, int]) -> None:
        moved = {number: offset for number, offset in positions.items() if kept.get(number) != offset}
        reader.keep_checkpoint(moved, marked)
        kept.update(moved)

    return keep
