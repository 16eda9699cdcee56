"""What the console has seen over time: lag, freshness and speed, a point a second, for a quarter of an hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

POINTS: Final = 900
LINES: Final = 8
"""Partitions that have a line of their own in a point; the others are in its sum."""


class Position(NamedTuple):
    """One partition now: the first offset that is not written, and the log's end."""

    next_offset: int
    high: int


class Point(NamedTuple):
    """One second. What is not known is None."""

    at: float
    """seconds since 1970-01-01 UTC"""
    lag_seconds: float | None
    """the age of the oldest unwritten event"""
    freshness: float | None
    """how long the events that were written in this second had been in the log; None if none was written"""
    speed: float | None
    """offsets that were written, a second"""
    lag: Mapping[int, int]
    """unwritten offsets by partition"""


class Trail:
    """When the console first saw the log of one partition reach which end."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, float]] = deque(maxlen=POINTS)

    def saw(self, high: int, at: float) -> None:
        """Note the log's end; a log that was cut or made again begins a new trail."""
        if self._ends and high < self._ends[-1][0]:
            self._ends.clear()
        if not self._ends or high > self._ends[-1][0]:
            self._ends.append((high, at))

    def appended(self, offset: int) -> tuple[float, bool] | None:
        """When the offset was first seen in the log, and whether it may have been there before; None if it is not."""
        for place, (high, at) in enumerate(self._ends):
            if high > offset:
                return at, place == 0
        return None


class Trends:
    """Makes a point of each look. Belongs to one thread."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS)
        self._trails: dict[int, Trail] = {}
        self._before: tuple[float, Mapping[int, Position]] | None = None

    @property
    def latest(self) -> Point:
        """The newest point; its freshness is that of the last minute's newest write, its speed that of five seconds."""
        if not self.points:
            return Point(0.0, None, None, None, {})
        newest = self.points[-1]
        recent = [point for point in list(self.points)[-60:] if point.freshness is not None]
        speeds = [point.speed for point in list(self.points)[-5:] if point.speed is not None]
        return newest._replace(
            freshness=recent[-1].freshness if recent else None, speed=sum(speeds) / len(speeds) if speeds else None
        )

    def add(self, at: float, positions: Mapping[int, Position] | None, oldest: float | None) -> Point:
        """Add what is known at `at`. `oldest` is when the oldest unwritten event was appended, if it was read.

        `positions` is None while Kafka or the database does not answer.
        """
        if positions is None:
            point = Point(at, None, None, None, {})
            self._before = None
        else:
            for number, position in positions.items():
                self._trails.setdefault(number, Trail()).saw(position.high, at)
            lag = {number: max(0, position.high - position.next_offset) for number, position in positions.items()}
            point = Point(at, self._lag_seconds(at, positions, oldest), *self._written(at, positions), lag)
            self._before = at, positions
        self.points.append(point)
        return point

    def _lag_seconds(self, at: float, positions: Mapping[int, Position], oldest: float | None) -> float:
        ages = [0.0]
        for number, (next_offset, high) in positions.items():
            seen = self._trails[number].appended(next_offset) if next_offset < high else None
            if seen is not None:
                since, was_there = seen
                ages.append(at - (min(since, oldest) if was_there and oldest is not None else since))
        return max(ages)

    def _written(self, at: float, positions: Mapping[int, Position]) -> tuple[float | None, float | None]:
        """Freshness and speed since the point before."""
        if self._before is None:
            return None, None
        before_at, before = self._before
        waits, written = [], 0
        for number, position in positions.items():
            earlier = before.get(number, position).next_offset
            if position.next_offset > earlier:
                written += position.next_offset - earlier
                seen = self._trails[number].appended(earlier)
                if seen is not None and not seen[1]:
                    waits.append(max(0.0, at - seen[0]))
        return max(waits, default=None), written / max(0.001, at - before_at)


def columns(points: Sequence[Point]) -> dict[str, list[float | None]]:
    """The points as columns for a chart: `at`, the three figures, and a line for each of the busiest partitions."""
    busy: dict[int, int] = {}
    for point in points:
        for number, lag in point.lag.items():
            busy[number] = max(busy.get(number, 0), lag)
    chosen = sorted(sorted(busy, key=lambda number: (-busy[number], number))[:LINES])
    found: dict[str, list[float | None]] = {
        "at": [round(point.at, 1) for point in points],
        "lag_seconds": [_rounded(point.lag_seconds) for point in points],
        "freshness": [_rounded(point.freshness) for point in points],
        "speed": [_rounded(point.speed) for point in points],
    }
    for number in chosen:
        found[f"partition {number}"] = [point.lag.get(number) for point in points]
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
