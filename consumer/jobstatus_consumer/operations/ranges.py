"""The offset ranges that `--from` and `--to` name, checked against what each partition has. Does no I/O.

A range begins at `start` and ends before `end`. A list of offsets also says which partitions are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, Protocol

from jobstatus_consumer.core import Watermarks
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.operations.times import ALLOWED, parse_time, shown
from jobstatus_consumer.words import counted

OFFSETS: Final = "P:N[,P:N...] (partition and offset, without leading zeros)"
NOTHING: Final[Mapping[int, int]] = {}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_PAIR = re.compile(r"(0|[1-9][0-9]{0,9}):(0|[1-9][0-9]{0,18})")


class RangeBound(NamedTuple):
    """One end of a range: the end of the log itself, an instant, or offsets by partition. `text` is what was typed."""

    text: str
    kind: Literal["open", "instant", "offsets"]
    instant: datetime | None = None
    offsets: Mapping[int, int] | None = None


class OffsetRange(NamedTuple):
    """The offsets of one partition from `start` to before `end`."""

    partition: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """The number of offsets, gaps included."""
        return max(0, self.end - self.start)


def as_words(ranges: Iterable[OffsetRange]) -> dict[str, str]:
    """The same ranges as `from` and `to` of a request, which mean the same at any time."""
    found = sorted(ranges)
    return {
        "from": ",".join(f"{item.partition}:{item.start}" for item in found),
        "to": ",".join(f"{item.partition}:{item.end}" for item in found),
    }


class ResolvedRanges(NamedTuple):
    """The ranges, and what an operator must know about them."""

    ranges: Sequence[OffsetRange]
    remarks: Sequence[str]


class Times(Protocol):
    """Finds the offsets of times; `RangeReader` does."""

    def first_at(self, milliseconds: int) -> Mapping[int, int]:
        """For each partition the first offset at or after the time; its end where there is none."""


def parse_bound(option: str, text: str, now: datetime) -> RangeBound:
    """The bound that `--from` or `--to` (`option`) names; raises `SettingsError`, which says what is allowed."""
    wanted = text.strip()
    open_word = "beginning" if option == "--from" else "now"
    if wanted == open_word:
        return RangeBound(wanted, "open")
    if re.match(r"[0-9]+:[0-9]+(,|$)", wanted.replace(" ", "")):
        return RangeBound(wanted, "offsets", offsets=parse_offsets(option, wanted))
    if wanted in ("beginning", "now") or not re.match(r"[0-9]", wanted):
        raise SettingsError(f"{option} {text!r}: allowed: {open_word}, {OFFSETS}, or a time; {ALLOWED}")
    try:
        return RangeBound(wanted, "instant", instant=parse_time(wanted, now))
    except SettingsError as error:
        raise SettingsError(f"{option} {error}; or {open_word}, or {OFFSETS}") from None


def parse_offsets(option: str, text: str) -> dict[int, int]:
    """`P:N[,P:N...]` by partition."""
    found: dict[int, int] = {}
    for pair in text.replace(" ", "").split(","):
        match = _PAIR.fullmatch(pair)
        if match is None or int(match[2]) >= 2**63:
            # a time of day looks like a pair
            raise SettingsError(f"{option} {text!r}: {pair!r} is not {OFFSETS}; a time needs its date: {ALLOWED}")
        if int(match[1]) in found:
            raise SettingsError(f"{option} {text!r}: partition {match[1]} is named twice")
        found[int(match[1])] = int(match[2])
    return found


def resolve(
    first: RangeBound,
    last: RangeBound,
    watermarks: Mapping[int, Watermarks],
    times: Times,
    done: Mapping[int, int] = NOTHING,
) -> ResolvedRanges:
    """The range of each partition that is wanted; raises `SettingsError` where that makes no sense.

    `done` is the checkpoint of a replay that goes on: its ranges begin there, even if the log no longer has the
    offsets before it.
    """
    partitions = _wanted(first, last, watermarks)
    if first.instant is not None and last.instant is not None and first.instant > last.instant:
        raise SettingsError(
            f"--from {first.text} ({shown(first.instant)}) is after --to {last.text} ({shown(last.instant)})"
        )
    there = {n: Watermarks(0, held.high) if n in done else held for n, held in watermarks.items()}
    starts = {**_starts(first, partitions, there, times), **done}
    ends = _ends(last, partitions, there, times)
    ranges = []
    for number in partitions:
        start, end = starts[number], ends[number]
        if start > end and number not in done and "offsets" in (first.kind, last.kind):
            raise SettingsError(f"--from is after --to in partition {number}: {start} is after {end}")
        ranges.append(OffsetRange(number, start, max(start, end)))
    return ResolvedRanges(
        ranges, list(_remarks(first, [item for item in ranges if item.partition not in done], watermarks))
    )


def _wanted(first: RangeBound, last: RangeBound, watermarks: Mapping[int, Watermarks]) -> list[int]:
    for option, edge in (("--from", first), ("--to", last)):
        unknown = sorted(set(edge.offsets or ()) - watermarks.keys())
        if unknown:
            raise SettingsError(
                f"{option} {edge.text}: there is no partition {unknown[0]}; the topic has {_named(watermarks)}"
            )
    if first.offsets is not None and last.offsets is not None:
        if extra := last.offsets.keys() - first.offsets.keys():
            raise SettingsError(f"--to {last.text}: partition {min(extra)} is not in --from {first.text}")
        if extra := first.offsets.keys() - last.offsets.keys():
            raise SettingsError(f"--from {first.text}: partition {min(extra)} is not in --to {last.text}")
    named = last.offsets if last.offsets is not None else first.offsets
    return sorted(watermarks if named is None else named)


def _named(watermarks: Mapping[int, Watermarks]) -> str:
    return f"0 to {max(watermarks)}" if len(watermarks) > 1 else "partition 0 alone"


def _starts(
    edge: RangeBound, partitions: Sequence[int], watermarks: Mapping[int, Watermarks], times: Times
) -> Mapping[int, int]:
    if edge.instant is not None:
        return _at(edge.instant, times)
    given = edge.offsets or {}
    return {n: _inside("--from", edge, n, given.get(n, watermarks[n].low), watermarks[n]) for n in partitions}


def _ends(
    edge: RangeBound, partitions: Sequence[int], watermarks: Mapping[int, Watermarks], times: Times
) -> Mapping[int, int]:
    if edge.instant is not None:
        # not what came in while the broker was asked
        return {n: min(offset, watermarks[n].high) for n, offset in _at(edge.instant, times).items() if n in watermarks}
    given = edge.offsets or {}
    return {n: _inside("--to", edge, n, given.get(n, watermarks[n].high), watermarks[n]) for n in partitions}


def _at(instant: datetime, times: Times) -> Mapping[int, int]:
    # The time of a message is in milliseconds, so round up. No message is older than the epoch, and negative times
    # mean something else to the broker.
    return times.first_at(max(0, -((_EPOCH - instant) // _MILLISECOND)))


def _inside(option: str, edge: RangeBound, number: int, offset: int, watermarks: Watermarks) -> int:
    if watermarks.low <= offset <= watermarks.high:
        return offset
    why = f"it holds offsets {watermarks.low} to {watermarks.high}"
    if offset < watermarks.low:
        why = f"retention has removed what was before {watermarks.low}; {why}"
    raise SettingsError(f"{option} {edge.text}: partition {number} has no offset {offset}: {why}")


def _remarks(first: RangeBound, ranges: Sequence[OffsetRange], watermarks: Mapping[int, Watermarks]) -> list[str]:
    """Say what retention has removed of the ranges that were asked for."""
    cut = [item for item in ranges if item.start == watermarks[item.partition].low > 0]
    if first.kind == "offsets" or not cut:
        return []
    gone = sum(watermarks[item.partition].low for item in cut)
    where = ", ".join(f"{item.partition} (before {item.start})" for item in cut[:8]) + (", ..." if len(cut) > 8 else "")
    of = counted(len(cut), "partition")
    return [f"retention or an administrator removed {counted(gone, 'offset')} at the beginning of {of}: {where}"]
