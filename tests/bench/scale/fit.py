"""The constants of the model, from some of the measurements, and its predictions of the others.

The fit uses one consumer with one batch in flight, at batches of 1, 10, 200 and 500 and at 0 and 5 ms; two batches in
flight at 0 and 5 ms; and eight consumers at 0, 5 and 20 ms. Held out are batches of 50 one by one, two in flight at
other distances, four in flight, eight consumers at 1 ms, fewer at every distance, and the part `held_out`, whose values
no other part has.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from jobstatus_consumer.capacity import Cost, Costs, Work, shared_rate

from .fleet import Sample
from .runner import Measured

HELD_OUT_BATCH: Final = 50
FAR_MS: Final = 5
BENDS: Final = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
FACTORS: Final = tuple(1 + step / 20 for step in range(31))
CROWDS: Final = ("consumers: 0 ms, 8", "consumers: 5 ms, 8", "consumers: 20 ms, 8")
WAITING: Final = ("batch: 5 ms, 1", "batch: 5 ms, 10", CROWDS[-1])
"""Those that mostly wait."""
BURSTS: Final = tuple(step / 10 for step in range(31))
ALONE: Final = "window: 5 ms, 1"
IN_FLIGHT: Final = ("window: 0 ms, 2", "window: 5 ms, 2")
SHARES: Final = tuple(0.5 + step / 20 for step in range(13))
"""How much of its far turn a batch may have in the fit: over a distance there are more pauses in it than nearby."""
LEAST_WORKED: Final = 0.1
"""The share of what a batch costs that is its own at least."""
PASSES: Final = 5
"""Passes in which a line and what is left over from it settle."""
WITHIN: Final = 0.2
"""How near a prediction is to be."""
MODELLED: Final = ("consumers", "batch", "window", "held_out")
"""The parts whose measurements are predicted."""


NEEDED: Final = (CROWDS[0], "batch: 5 ms, 500", *IN_FLIGHT, "rows: 10,000 B", "own: own")
"""A case of each part without which the model cannot be fitted."""


class Prediction(NamedTuple):
    """A measurement that the fit has not seen, and the events a second that the model gives for it."""

    key: str
    measured: float
    predicted: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured


Samples = Mapping[str, Measured]


def can_be_fitted(samples: Samples) -> bool:
    """Whether each part was measured that the fit needs."""
    return set(NEEDED) <= set(samples)


def fit(samples: Samples, commit_micros: float, cores: int) -> Costs:
    """The constants; the parts `batch`, `window`, `rows` and `own` must have been measured."""
    alone = [samples[key].sample for key in samples if _is_alone(key)]
    crowds, in_flight = ([samples[key].sample for key in keys] for keys in (CROWDS, IN_FLIGHT))
    commit_micros = _commit(alone, commit_micros)
    costs = Costs(
        consumer=_cost(samples, alone, lambda item: item.consumer_micros * item.batch),
        postgres=_cost(samples, alone, lambda item: item.postgres_micros * item.batch),
        broker=_cost(samples, alone, lambda item: item.broker_micros * item.batch),
        turn=_turn(samples, alone, commit_micros),
        wal=_cost(samples, alone, lambda item: item.wal_bytes * item.batch)._replace(idle=0.0),
        commit_micros=commit_micros,
        bend=0.0,
        megabytes=max(item.megabytes for item in (*alone, *crowds)),
    )
    costs = min(_bent(costs), key=lambda each: _error(alone, each, cores))
    costs = min((costs._replace(burst=burst) for burst in BURSTS), key=lambda each: _error(crowds, each, cores))
    turns = (costs._replace(turn=costs.turn._replace(in_flight=factor)) for factor in FACTORS)
    return min(turns, key=lambda each: _error(in_flight, each, cores))


def _bent(costs: Costs) -> Iterator[Costs]:
    """The constants with each bend, and with each share of the far turn."""
    turn = costs.turn
    for bend, batch, event in itertools.product(BENDS, SHARES, SHARES):
        shared = turn._replace(batch=round(turn.batch * batch, 2), event=round(turn.event * event, 3))
        yield costs._replace(bend=bend, turn=shared)


def is_fitted(key: str) -> bool:
    """Whether the fit uses this case; the others of the same parts are held out."""
    return _is_alone(key) or key in (*CROWDS, *IN_FLIGHT)


def _is_alone(key: str) -> bool:
    part, _, label = key.partition(": ")
    return part == "batch" and int(label.rpartition(" ")[2]) != HELD_OUT_BATCH


def predictions(samples: Samples, costs: Costs, cores: int) -> list[Prediction]:
    """Each case that was held out."""
    held_out = [key for key in samples if key.partition(": ")[0] in MODELLED and not is_fitted(key)]
    return [
        Prediction(key, samples[key].sample.events_per_second, predicted(samples[key].sample, costs, cores))
        for key in held_out
    ]


def predicted(item: Sample, costs: Costs, cores: int) -> float:
    """What the model says of a measurement, from its settings, its round trip and the cores that others left."""
    work = Work(item.batch, item.window, item.trip_ms)
    return shared_rate(work, costs, item.consumers, max(0.1, cores - item.other_cores), item.bench_micros)


def _error(fitted: Iterable[Sample], costs: Costs, cores: int) -> float:
    return statistics.fmean(abs(math.log(predicted(item, costs, cores) / item.events_per_second)) for item in fitted)


def _cost(samples: Samples, alone: Sequence[Sample], of_batch: Callable[[Sample], float]) -> Cost:
    """A line through the batches of each size nearby, and what is used besides by those that mostly wait."""
    near = [item for item in alone if item.asked_trip_ms == 0]
    waiting = [samples[key].sample for key in WAITING]
    idle = 0.0

    def worked(item: Sample) -> float:
        return max(LEAST_WORKED * of_batch(item), of_batch(item) - 1000 * idle * item.cycle_ms)

    for _ in range(PASSES):
        batch, event = line([(item.batch, worked(item)) for item in near])
        more = [(of_batch(item) - batch - event * item.batch) / (1000 * item.cycle_ms) for item in waiting]
        idle = round(max(0.0, statistics.fmean(more)), 4)
    kilobyte = _difference(samples, "rows: 100 B", "rows: 10,000 B", worked)
    own = _times(samples, "own: managed", "own: own", worked)
    in_flight = _times(samples, ALONE, IN_FLIGHT[-1], worked)
    return Cost(round(batch, 2), round(event, 3), round(kilobyte, 3), own, in_flight, idle)


def _turn(samples: Samples, alone: Sequence[Sample], commit_micros: float) -> Cost:
    """What a far consumer's cycle has beside the round trip and the commit."""

    def micros(item: Sample) -> float:
        return max(1.0, _beside_the_trip(item) - commit_micros)

    batch, event = line([(item.batch, micros(item)) for item in alone if item.asked_trip_ms == FAR_MS])
    kilobyte = _difference(samples, "rows: 100 B", "rows: 10,000 B", micros)
    own = _times(samples, "own: managed", "own: own", micros)
    return Cost(round(batch, 2), round(event, 3), round(kilobyte, 3), own)


def _beside_the_trip(item: Sample) -> float:
    """The microseconds of a batch without the round trip."""
    return max(1.0, 1000 * (item.cycle_ms - item.trip_ms))


def _commit(alone: Sequence[Sample], measured: float) -> float:
    """The commit as it was measured, and at most half of the quickest turn: on a busy machine it is too long."""
    return round(min(measured, *(_beside_the_trip(item) / 2 for item in alone if item.asked_trip_ms == FAR_MS)), 1)


def _times(samples: Samples, usual: str, other: str, of_batch: Callable[[Sample], float]) -> float:
    """How many times as much a batch of another kind costs, and at least as much."""
    return round(max(1.0, of_batch(samples[other].sample) / of_batch(samples[usual].sample)), 3)


def _difference(samples: Samples, small: str, large: str, of_batch: Callable[[Sample], float]) -> float:
    """What an event costs more for each kilobyte."""
    less, more = samples[small].sample, samples[large].sample
    return max(0.0, (of_batch(more) - of_batch(less)) / less.batch / 9.9)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The line a + b x, neither of them negative, with the least sum of squared relative errors."""
    weights = [1 / max(y, 1e-9) ** 2 for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    around = [(w, x - mean_x, y - mean_y) for w, (x, y) in zip(weights, points, strict=True)]
    slope = sum(w * x * y for w, x, y in around) / sum(w * x * x for w, x, _ in around)
    if slope < 0:
        return mean_y, 0.0
    start = mean_y - slope * mean_x
    return (start, slope) if start >= 0 else (0.0, _through_zero(points))


def _through_zero(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a line through zero."""
    ratios = [x / max(y, 1e-9) for x, y in points]
    return sum(ratios) / sum(ratio * ratio for ratio in ratios)
